// One connection to a peer, with TLS and one request at a time. A general client hands every TLS
// record through two streams and a parser with memory of its own, which was more than a tenth of a
// daemon's CPU in a rollout; here they pass through one buffer.
import type { Socket, SocketConstructorOpts } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../platform/clock.ts';
import type { ClientTls } from './credentials.ts';
import { AnswerReader } from './http-answer.ts';
import type { Job } from './peer-exchange.ts';
import { TCP_KEEPALIVE_MS } from './tls-psk.ts';

export interface PeerEndpoint {
  readonly address: string;
  readonly port: number;
  readonly tls: ClientTls;
  /** To a listening socket and through the handshake. */
  readonly connectTimeoutMs: number;
  /**
   * To the listening socket alone: the kernel of a machine that is up answers at once, however busy
   * its processes are. Longer than a lost SYN takes to be sent again (1 s, RFC 6298).
   */
  readonly reachMs: number;
  /**
   * After this long one more connection is tried beside the one that does not come: on a full
   * link a lost SYN is sent again after 1, 3 and 7 s (RFC 6298), a handshake's packet as late.
   */
  readonly retryMs: number;
}

interface TryOptions extends PeerEndpoint {
  /** What is left of `connectTimeoutMs`. */
  readonly timeoutMs: number;
}

export interface ConnectionEvents {
  /** It is not there after `retryMs`; `restMs` are left. */
  late(restMs: number): void;
  /** Bytes came. */
  heard(): void;
  /** It can take a request. */
  free(): void;
  /** It is gone, or of no use any more; may be told twice. */
  useless(error: Error): void;
}

/** One connection, with one request at a time. */
export class Connection {
  readonly #socket: TLSSocket;
  readonly #reader: AnswerReader;
  readonly #tell: ConnectionEvents;
  readonly #deadlines: readonly Timer[];
  #job: Job | undefined;
  /** Its answer has come to the end. */
  #answered: Job | undefined;
  #error: Error | undefined;

  /** Throws when no socket can connect to that address. */
  constructor(deps: { clock: Clock }, options: TryOptions, buffer: Buffer, tell: ConnectionEvents) {
    this.#tell = tell;
    this.#reader = new AnswerReader({
      head: (status, headers) => this.#asker.head(status, headers),
      data: (bytes) => this.#asker.data(bytes),
      end: () => {
        this.#answered = this.#asker;
        this.#job = undefined;
      },
    });
    const { address, port, tls } = options;
    const callback = (length: number, into: Uint8Array): boolean => {
      this.#received(into.subarray(0, length) as Buffer);
      return true;
    };
    // The type of TLS options lacks `onread` (net.Socket), which they take as well.
    const reading: Pick<SocketConstructorOpts, 'onread'> = { onread: { buffer, callback } };
    const target: ConnectionOptions = { ...tls, host: address, port };
    this.#socket = connect(Object.assign(target, reading));
    this.#deadlines = this.#limits(deps.clock, options);
    this.#socket.setNoDelay();
    // Through firewalls that forget who is silent.
    this.#socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    this.#socket.once('secureConnect', () => {
      for (const deadline of this.#deadlines) deadline.cancel();
      this.#tell.free();
    });
    this.#socket.on('error', (error) => {
      this.#error ??= error;
    });
    this.#socket.once('close', () => this.#closed());
  }

  /** Tells when it is late, and gives it up in time. */
  #limits(clock: Clock, options: TryOptions): Timer[] {
    const { address, port, connectTimeoutMs, reachMs, retryMs, timeoutMs } = options;
    const giveUp = () => {
      this.destroy(timedOut(`no connection to ${address}:${port} within ${connectTimeoutMs} ms`));
    };
    const reach = unlessReached(clock, this.#socket, reachMs, () => {
      this.destroy(unreached(options));
    });
    const restMs = timeoutMs - retryMs;
    const late = restMs > 0 ? [clock.after(retryMs, () => this.#tell.late(restMs))] : [];
    return [reach, clock.after(timeoutMs, giveUp), ...late];
  }

  /** Sends the request of `job`; only while it is free. */
  take(job: Job): void {
    this.#job = job;
    job.connection = this;
    job.events.started();
    if (job.over) return;
    this.#socket.write(job.text);
    if (job.paused) this.pause();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Without `error`: nobody uses it. */
  destroy(error?: Error): void {
    this.#error ??= error;
    this.#socket.destroy();
    this.#tell.useless(this.#error ?? cut());
    // Whoever waits hears of it now, not when the socket is closed.
    if (error) this.#job?.fail(error);
  }

  #received(bytes: Buffer): void {
    if (this.#socket.destroyed) return;
    this.#tell.heard();
    try {
      if (!this.#job) throw unasked();
      this.#reader.push(bytes);
    } catch (error) {
      this.destroy(error as Error);
      this.#answered?.fail(error as Error);
    }
    if (this.#answered) this.#end(this.#answered);
  }

  get #asker(): Job {
    if (this.#job) return this.#job;
    throw unasked();
  }

  /** Not before all that was read is looked at: bytes after the end belong to no other request. */
  #end(job: Job): void {
    this.#answered = undefined;
    if (job.paused) this.resume();
    const { keepAlive, idle } = this.#reader;
    if (keepAlive && idle && !this.#socket.destroyed) this.#tell.free();
    else this.destroy();
    job.end();
  }

  #closed(): void {
    for (const deadline of this.#deadlines) deadline.cancel();
    const error = this.#error ?? cut();
    this.#tell.useless(error);
    this.#job?.fail(error);
  }
}

/**
 * Calls `fn` when there is no TCP connection after `ms`. It looks once more first at what has come:
 * to a process that got no CPU for seconds the timer is due before it hears of its connection.
 */
export function unlessReached(clock: Clock, socket: Socket, ms: number, fn: () => void): Timer {
  const look = () => {
    if (socket.connecting) fn();
  };
  return clock.after(ms, () => void clock.after(0, look));
}

export function unreached({ address, port, reachMs }: PeerEndpoint): Error {
  return timedOut(`no machine answers at ${address}:${port} within ${reachMs} ms`);
}

function timedOut(text: string): Error {
  return Object.assign(new Error(text), { code: 'ETIMEDOUT' });
}

function cut(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}

function unasked(): Error {
  return new Error('an answer that nobody asked for');
}
