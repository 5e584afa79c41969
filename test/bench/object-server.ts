// An upstream of objects by digest, of any size at no cost, that notes when each was asked for.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ServedObject {
  readonly url: string;
  readonly digest: string;
  readonly bytes: number;
}

const BLOCK_BYTES = 1024 * 1024;

export class ObjectServer {
  readonly #server: Server;
  readonly #objects = new Map<string, { bytes: number; block: Buffer }>();
  /** By digest: performance.now() at each request. */
  readonly arrivals = new Map<string, number[]>();

  private constructor() {
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const digest = (request.url ?? '').split('/').at(-1) ?? '';
      const object = this.#objects.get(digest);
      this.arrivals.set(digest, [...(this.arrivals.get(digest) ?? []), performance.now()]);
      if (object === undefined) {
        response.writeHead(404, { 'Content-Length': 0 }).end();
        return;
      }
      response.writeHead(200, { 'Content-Length': object.bytes });
      void send(response, object.block, object.bytes);
    });
  }

  static async start(): Promise<ObjectServer> {
    const server = new ObjectServer();
    server.#server.listen(0, '127.0.0.1', 4096);
    await once(server.#server, 'listening');
    return server;
  }

  /** host:port */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A new object: one random block, repeated. */
  add(bytes: number): ServedObject {
    const block = randomBytes(Math.min(bytes, BLOCK_BYTES));
    const hash = createHash('sha256');
    for (let at = 0; at < bytes; at += block.length) hash.update(block.subarray(0, bytes - at));
    const digest = hash.digest('hex');
    this.#objects.set(digest, { bytes, block });
    return { url: `http://${this.host}/dists/bench/main/by-hash/SHA256/${digest}`, digest, bytes };
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

async function send(response: ServerResponse, block: Buffer, bytes: number): Promise<void> {
  let wake = () => {};
  response.on('drain', () => wake());
  response.on('close', () => wake());
  response.on('error', () => {});
  for (let at = 0; at < bytes && !response.destroyed; at += block.length) {
    if (response.write(block.subarray(0, bytes - at))) continue;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }
  response.end();
}
