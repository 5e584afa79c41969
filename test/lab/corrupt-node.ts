// Entry point of a daemon that spoils what it sends to peers: one bit in the middle of each large
// write that goes out over TLS. Its own apt is served in plain HTTP and stays right.
import { TLSSocket } from 'node:tls';

const spoilBytesMin = 4096;

const honest = TLSSocket.prototype.write as (...args: unknown[]) => boolean;
const corrupt = function (this: TLSSocket, ...args: unknown[]) {
  const [chunk, ...rest] = args;
  return honest.call(this, Buffer.isBuffer(chunk) ? spoilt(chunk) : chunk, ...rest);
};
Object.defineProperty(TLSSocket.prototype, 'write', { value: corrupt, writable: true });

function spoilt(chunk: Buffer): Buffer {
  if (chunk.length < spoilBytesMin) return chunk;
  const copy = Buffer.from(chunk);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 1;
  return copy;
}

const main = new URL('../../node/debherd.js', import.meta.url).href;
await import(main);
