// Requests to one peer over HTTP/1.1 and TLS, on connections that are used again.
import { connect as connectTcp, type Socket } from 'node:net';
import type { Clock } from '../platform/clock.ts';
import { Connection, type PeerEndpoint, unlessReached, unreached } from './peer-connection.ts';
import {
  type Exchange,
  type ExchangeEvents,
  failSoon,
  Job,
  type PeerRequest,
} from './peer-exchange.ts';

/**
 * More at a time would only wait for each other at a busy peer, and keep it busy: in a rollout each
 * of sixty members had seven on the way to the owner of several files.
 */
const COMING_MAX = 2;

interface PeerClientOptions extends PeerEndpoint {
  readonly connectionsMax: number;
}

export class PeerClient {
  readonly #deps: { readonly clock: Clock };
  readonly #options: PeerClientOptions;
  readonly #buffer: Buffer;
  readonly #idle: Connection[] = [];
  /** Tried, and not there yet. */
  readonly #coming = new Set<Connection>();
  /** All of them. */
  readonly #open = new Set<Connection>();
  #waiting: Job[] = [];
  #probe: Socket | undefined;
  /** Grows with what is heard from the peer. */
  #heard = 0;
  #closed = false;

  /** `buffer`: what is read goes through it; many clients may share it. */
  constructor(deps: { clock: Clock }, options: PeerClientOptions, buffer: Buffer) {
    this.#deps = deps;
    this.#options = options;
    this.#buffer = buffer;
  }

  /** There is a connection, or one is coming. */
  get connected(): boolean {
    return this.#open.size > 0;
  }

  /**
   * Of its events only `started` may come before it returns. `fresh`: on a new connection, since
   * those at hand are in doubt.
   */
  request(request: PeerRequest, events: ExchangeEvents, fresh = false): Exchange {
    const { address, port } = this.#options;
    const host = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    const job = new Job(host, request, events);
    if (this.#closed) {
      failSoon(job, closed());
      return job;
    }
    if (fresh) for (const connection of this.#idle.splice(0)) connection.destroy();
    this.#waiting.push(job);
    this.#serve();
    return job;
  }

  /**
   * Asks the machine itself, when its daemon has not answered for a while: without power it is
   * silent like a busy one, as long as only old connections are looked at.
   */
  probe(): void {
    if (this.#probe || this.#closed) return;
    const { address, port, reachMs } = this.#options;
    const socket = connectTcp({ host: address, port });
    this.#probe = socket;
    const before = this.#heard;
    const timer = unlessReached(this.#deps.clock, socket, reachMs, () => {
      socket.destroy();
      // Both its SYNs may have been lost on a full link, on which others get bytes.
      if (this.#heard === before) this.#failAll(unreached(this.#options));
    });
    // Refused: there is a machine, and old connections tell what became of its daemon.
    socket.on('error', () => {});
    socket.once('connect', () => socket.destroy());
    socket.once('close', () => {
      timer.cancel();
      this.#probe = undefined;
    });
  }

  /** Ends all requests under way. */
  close(): void {
    this.#closed = true;
    this.#probe?.destroy();
    this.#failAll(closed());
  }

  #failAll(reason: Error): void {
    for (const job of this.#waiting.splice(0)) job.abort(reason);
    for (const connection of this.#open) connection.destroy(reason);
  }

  /** A try failed: as many wait in vain as no other connection may yet take. */
  #failWaiting(error: Error): void {
    const inVain = Math.max(0, this.#waiting.length - this.#coming.size);
    const busy = this.#open.size > this.#coming.size;
    const failed = this.#waiting.splice(0, busy ? Math.min(1, inVain) : inVain);
    for (const job of failed) failSoon(job, error);
  }

  #serve(): void {
    // Some may have been given up while they waited.
    this.#waiting = this.#waiting.filter(({ over }) => !over);
    while (this.#waiting.length > 0 && this.#idle.length > 0) {
      this.#idle.pop()?.take(this.#waiting.shift()!);
    }
    while (this.#coming.size < Math.min(this.#waiting.length, COMING_MAX)) {
      try {
        if (!this.#connect(this.#options.connectTimeoutMs)) return;
      } catch (error) {
        // Not an address that a socket can connect to.
        failSoon(this.#waiting.shift(), error as Error);
      }
    }
  }

  /** Tries one more connection, unless there are enough. Throws when there is no such address. */
  #connect(timeoutMs: number): boolean {
    if (this.#open.size >= this.#options.connectionsMax) return false;
    const connection = new Connection(this.#deps, { ...this.#options, timeoutMs }, this.#buffer, {
      late: (restMs) => {
        if (this.#coming.size > COMING_MAX) return;
        if (this.#waiting.some(({ over }) => !over)) this.#connect(restMs);
      },
      heard: () => {
        this.#heard++;
      },
      free: () => {
        this.#coming.delete(connection);
        this.#idle.push(connection);
        this.#serve();
      },
      useless: (error) => {
        this.#open.delete(connection);
        const index = this.#idle.indexOf(connection);
        if (index >= 0) this.#idle.splice(index, 1);
        if (this.#coming.delete(connection)) this.#failWaiting(error);
        this.#serve();
      },
    });
    this.#open.add(connection);
    this.#coming.add(connection);
    return true;
  }
}

function closed(): Error {
  return new Error('the client was closed');
}
