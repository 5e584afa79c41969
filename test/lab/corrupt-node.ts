// Entry point of a daemon that spoils what it sends to peers: one bit in the middle of each large
// chunk of an answer that goes out over TLS. Its own apt is served in plain HTTP and stays right.
import { ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';

const spoilBytesMin = 4096;

for (const verb of ['write', 'end'] as const) {
  const honest = ServerResponse.prototype[verb] as (...args: unknown[]) => unknown;
  const corrupt = function (this: ServerResponse, ...args: unknown[]) {
    const [chunk, ...rest] = args;
    const spoil = this.socket instanceof TLSSocket && Buffer.isBuffer(chunk);
    return honest.call(this, spoil ? spoilt(chunk) : chunk, ...rest);
  };
  Object.defineProperty(ServerResponse.prototype, verb, { value: corrupt, writable: true });
}

function spoilt(chunk: Buffer): Buffer {
  if (chunk.length < spoilBytesMin) return chunk;
  const copy = Buffer.from(chunk);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
}

const main = new URL('../../node/debherd.js', import.meta.url).href;
await import(main);
