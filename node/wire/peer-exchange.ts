// A request to a peer, from its call to its end.

export interface PeerRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** What comes of a request: `started`, `head`, `data`…, `end`; or `failed` at any time before. */
export interface ExchangeEvents {
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

/** The connection that a request went out on. */
interface Carrier {
  destroy(reason: Error): void;
  pause(): void;
  resume(): void;
}

/** The side of the client: what goes out, on which connection, and whether it is over. */
export class Job implements Exchange {
  readonly text: string;
  readonly events: ExchangeEvents;
  connection: Carrier | undefined;
  over = false;
  paused = false;

  constructor(host: string, request: PeerRequest, events: ExchangeEvents) {
    this.text = textOf(host, request);
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

/** For whoever must get the exchange before it hears of its end. */
export function failSoon(job: Job | undefined, error: Error): void {
  queueMicrotask(() => job?.fail(error));
}

function textOf(host: string, { method, path, headers, body }: PeerRequest): string {
  let text = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  for (const [name, value] of Object.entries(headers)) text += `${name}: ${value}\r\n`;
  if (body === undefined) return `${text}\r\n`;
  return `${text}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}
