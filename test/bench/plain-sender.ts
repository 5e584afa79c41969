// Sends as many bytes as the path of a request says, over plain HTTP; prints its port.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const bytes = Buffer.alloc(1_000_000, 7);
const server = createServer(({ url = '/' }, response) => {
  const body = bytes.subarray(0, Number(url.slice(1)));
  response.writeHead(200, { 'content-length': body.length }).end(body);
});
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
