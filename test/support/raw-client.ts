// A client that sends bytes as they are and takes HTTP answers apart.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export class RawClient {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  static async to(port: number, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect(port, host);
    await once(socket, 'connect');
    return new RawClient(socket);
  }

  send(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }

  /** The next answer; a body without length lasts until the connection ends. */
  async answer(method = 'GET'): Promise<RawAnswer> {
    await this.#until(() => this.#bytes.includes('\r\n\r\n'));
    const headEnd = this.#bytes.indexOf('\r\n\r\n');
    const [line = '', ...fields] = this.#bytes
      .subarray(0, headEnd)
      .toString('latin1')
      .split('\r\n');
    const headers = Object.fromEntries(
      fields.map((field) => {
        const colon = field.indexOf(':');
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
      }),
    );
    this.#bytes = this.#bytes.subarray(headEnd + 4);
    const status = Number(line.split(' ')[1]);
    const length = headers['content-length'];
    if (method === 'HEAD' || status === 304) return { status, headers, body: Buffer.alloc(0) };
    const size = length === undefined ? Number.POSITIVE_INFINITY : Number(length);
    await this.#until(() => this.#bytes.length >= size);
    const body = this.#bytes.subarray(0, size);
    this.#bytes = this.#bytes.subarray(body.length);
    return { status, headers, body };
  }

  async closed(): Promise<Buffer> {
    await this.#until(() => false);
    return this.#bytes;
  }

  /** Waits for the condition or for the end of the connection. */
  async #until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
