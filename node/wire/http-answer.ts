// Reads answers of HTTP/1.1 (RFC 9112) as they come in, one after the other: those that peers
// give, with a Content-Length or in chunks.

/** Of all that is no body: a head with the interim answers before it, or a trailer. */
const HEAD_BYTES_MAX = 16 * 1024;

interface AnswerEvents {
  /** The names of `headers` are in lower case. */
  head(status: number, headers: ReadonlyMap<string, string>): void;
  /** A part of the body: a view of what was pushed. */
  data(bytes: Buffer): void;
  end(): void;
}

export class MalformedAnswer extends Error {}

type State = 'status' | 'header' | 'body' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer';

export class AnswerReader {
  readonly #events: AnswerEvents;
  #state: State = 'status';
  /** The start of a line whose end has not come yet. */
  #line = '';
  /** Bytes of lines since the last byte of a body. */
  #headBytes = 0;
  #status = 0;
  #headers = new Map<string, string>();
  /** Bytes of the body, or of the chunk, that are still to come. */
  #left = 0;
  /** Whether the connection may be used for another request. */
  keepAlive = true;

  constructor(events: AnswerEvents) {
    this.#events = events;
  }

  /** Nothing of a next answer has come. */
  get idle(): boolean {
    return this.#state === 'status' && this.#headBytes === 0;
  }

  /** Throws MalformedAnswer. */
  push(bytes: Buffer): void {
    for (let offset = 0; offset < bytes.length; ) {
      const inBody = this.#state === 'body' || this.#state === 'chunk';
      offset = inBody ? this.#takeBody(bytes, offset) : this.#takeLine(bytes, offset);
    }
  }

  #takeBody(bytes: Buffer, offset: number): number {
    const end = Math.min(bytes.length, offset + this.#left);
    this.#headBytes = 0;
    this.#left -= end - offset;
    const last = this.#left === 0;
    if (last) this.#state = this.#state === 'body' ? 'status' : 'chunk-end';
    this.#events.data(bytes.subarray(offset, end));
    if (last && this.#state === 'status') this.#events.end();
    return end;
  }

  #takeLine(bytes: Buffer, offset: number): number {
    const newline = bytes.indexOf(0x0a, offset);
    const end = newline < 0 ? bytes.length : newline;
    const next = newline < 0 ? end : newline + 1;
    this.#headBytes += next - offset;
    if (this.#headBytes > HEAD_BYTES_MAX) throw new MalformedAnswer('a head without end');
    this.#line += bytes.toString('latin1', offset, end);
    if (newline < 0) return next;
    const line = this.#line.endsWith('\r') ? this.#line.slice(0, -1) : this.#line;
    this.#line = '';
    this.#read(line);
    return next;
  }

  #read(line: string): void {
    const state = this.#state;
    if (state === 'status') this.#readStatus(line);
    else if (state === 'chunk-size') this.#readChunkSize(line);
    else if (state === 'chunk-end') this.#readChunkEnd(line);
    else if (state === 'header' && line !== '') this.#readHeader(line);
    else if (state === 'header') this.#endHead();
    else if (line === '') this.#end();
  }

  #readStatus(line: string): void {
    const [, minor, status] = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: |$)/.exec(line) ?? [];
    if (status === undefined) throw new MalformedAnswer('no answer of HTTP/1.1');
    this.#status = Number(status);
    this.keepAlive = minor === '1';
    this.#headers = new Map();
    this.#state = 'header';
  }

  #readHeader(line: string): void {
    const colon = line.indexOf(':');
    if (colon < 1) throw new MalformedAnswer('a header that is none');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = this.#headers.get(name);
    this.#headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }

  #endHead(): void {
    const headers = this.#headers;
    // An interim answer (RFC 9110, 15.2): the one that counts follows.
    if (this.#status < 200) {
      this.#state = 'status';
      return;
    }
    if (/\bclose\b/i.test(headers.get('connection') ?? '')) this.keepAlive = false;
    const coding = headers.get('transfer-encoding');
    const length = headers.get('content-length');
    const empty = this.#status === 204 || this.#status === 304;
    if (coding !== undefined) {
      if (coding.toLowerCase() !== 'chunked' || length !== undefined || empty) {
        throw new MalformedAnswer('a body of unknown length');
      }
      this.#state = 'chunk-size';
    } else {
      if (!empty && !/^\d{1,15}$/.test(length ?? '')) {
        throw new MalformedAnswer('a body of unknown length');
      }
      this.#left = empty ? 0 : Number(length);
      this.#state = this.#left > 0 ? 'body' : 'status';
    }
    this.#headBytes = 0;
    this.#events.head(this.#status, headers);
    if (this.#state === 'status') this.#events.end();
  }

  #readChunkSize(line: string): void {
    const [, size] = /^([0-9a-f]{1,8})[ \t]*(?:;.*)?$/i.exec(line) ?? [];
    if (size === undefined) throw new MalformedAnswer('a chunk without a size');
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left > 0 ? 'chunk' : 'trailer';
  }

  #readChunkEnd(line: string): void {
    if (line !== '') throw new MalformedAnswer('a chunk longer than it says');
    this.#state = 'chunk-size';
  }

  #end(): void {
    this.#state = 'status';
    this.#headBytes = 0;
    this.#events.end();
  }
}
