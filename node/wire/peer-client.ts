// Requests to one peer over HTTP/1.1 and TLS, on connections that are used again. A general client
// hands every TLS record through two streams and a parser with memory of its own, which was more
// than a tenth of a daemon's CPU in a rollout; here they pass through one buffer.
import { connect as connectTcp, type Socket, type SocketConstructorOpts } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { Clock, Timer } from '../platform/clock.ts';
import { AnswerReader } from './http-answer.ts';
import { type pskClientOptions, TCP_KEEPALIVE_MS } from './tls-psk.ts';

export interface PeerRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** What comes of a request: `started`, `head`, `data`…, `end`; or `failed` at any time before. */
interface ExchangeEvents {
  /** There is a connection, and the request goes out. */
  started(): void;
  /** The names of `headers` are in lower case. */
  head(status: number, headers: ReadonlyMap<string, string>): void;
  /** The memory of `bytes` is used again after the call. */
  data(bytes: Buffer): void;
  end(): void;
  failed(error: Error): void;
}

/** A request under way. */
export interface Exchange {
  /** Ends it with `reason`, and its connection; nothing happens when it has ended. */
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
  readonly paused: boolean;
}

interface PeerClientOptions {
  readonly address: string;
  readonly port: number;
  readonly tls: ReturnType<typeof pskClientOptions>;
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
    const job = new Job(textOf(host, request), events);
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
    const timer = unlessReached(this.#deps.clock, socket, reachMs, () => {
      socket.destroy();
      this.#failAll(unreached(this.#options));
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

  #serve(): void {
    // Some may have been given up while they waited.
    this.#waiting = this.#waiting.filter(({ over }) => !over);
    while (this.#waiting.length > 0 && this.#idle.length > 0) {
      this.#idle.pop()?.take(this.#waiting.shift()!);
    }
    while (this.#coming.size < this.#waiting.length) {
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
        if (this.#waiting.some(({ over }) => !over)) this.#connect(restMs);
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
        const failed = this.#coming.delete(connection) && this.#coming.size < this.#waiting.length;
        if (failed) failSoon(this.#waiting.shift(), error);
        this.#serve();
      },
    });
    this.#open.add(connection);
    this.#coming.add(connection);
    return true;
  }
}

/** A request, from its call to its end. */
class Job implements Exchange {
  readonly text: string;
  readonly events: ExchangeEvents;
  connection: Connection | undefined;
  over = false;
  paused = false;

  constructor(text: string, events: ExchangeEvents) {
    this.text = text;
    this.events = events;
  }

  abort(reason: Error): void {
    if (this.over) return;
    if (this.connection) this.connection.destroy(reason);
    else this.fail(reason);
  }

  pause(): void {
    if (this.over || this.paused) return;
    this.paused = true;
    this.connection?.pause();
  }

  resume(): void {
    if (this.over || !this.paused) return;
    this.paused = false;
    this.connection?.resume();
  }

  head(status: number, headers: ReadonlyMap<string, string>): void {
    if (!this.over) this.events.head(status, headers);
  }

  data(bytes: Buffer): void {
    if (!this.over) this.events.data(bytes);
  }

  end(): void {
    if (this.over) return;
    this.over = true;
    this.events.end();
  }

  fail(error: Error): void {
    if (this.over) return;
    this.over = true;
    this.events.failed(error);
  }
}

interface TryOptions extends PeerClientOptions {
  /** What is left of `connectTimeoutMs`. */
  readonly timeoutMs: number;
}

interface ConnectionEvents {
  /** It is not there after `retryMs`; `restMs` are left. */
  late(restMs: number): void;
  /** It can take a request. */
  free(): void;
  /** It is gone, or of no use any more; may be told twice. */
  useless(error: Error): void;
}

/** One connection, with one request at a time. */
class Connection {
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

function failSoon(job: Job | undefined, error: Error): void {
  queueMicrotask(() => job?.fail(error));
}

/**
 * Calls `fn` when there is no TCP connection after `ms`. It looks once more first at what has come:
 * to a process that got no CPU for seconds the timer is due before it hears of its connection.
 */
function unlessReached(clock: Clock, socket: Socket, ms: number, fn: () => void): Timer {
  const look = () => {
    if (socket.connecting) fn();
  };
  return clock.after(ms, () => void clock.after(0, look));
}

function unreached({ address, port, reachMs }: PeerClientOptions): Error {
  return timedOut(`no machine answers at ${address}:${port} within ${reachMs} ms`);
}

function timedOut(text: string): Error {
  return Object.assign(new Error(text), { code: 'ETIMEDOUT' });
}

function cut(): Error {
  return Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
}

function closed(): Error {
  return new Error('the client was closed');
}

function unasked(): Error {
  return new Error('an answer that nobody asked for');
}

function textOf(host: string, { method, path, headers, body }: PeerRequest): string {
  let text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (const [name, value] of Object.entries(headers)) text += `${name}: ${value}\r\n`;
  if (body === undefined) return `${text}\r\n`;
  return `${text}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
