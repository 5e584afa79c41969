// Stands in for the apt door of a daemon that cannot start, on sockets that a service manager
// holds: each request is told why.
import { once } from 'node:events';
import { createServer, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

const STATUS = 503;

export class FaultDoor {
  readonly #servers: readonly Server[];
  readonly #sockets: ReadonlySet<Socket>;

  private constructor(servers: readonly Server[], sockets: ReadonlySet<Socket>) {
    this.#servers = servers;
    this.#sockets = sockets;
  }

  /** Answers on the listening sockets `fds` with 503 and `text`, one line. */
  static async open(fds: readonly number[], text: string): Promise<FaultDoor> {
    const body = `${text.replaceAll(/\s+/g, ' ')}\n`;
    const sockets = new Set<Socket>();
    const servers = fds.map((fd) => answering(body, sockets).listen({ fd }));
    await Promise.all(servers.map((server) => server.listening || once(server, 'listening')));
    return new FaultDoor(servers, sockets);
  }

  async close(): Promise<void> {
    const closed = this.#servers.map((server) => once(server, 'close'));
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }
}

/** `sockets` has those that are open, also of a CONNECT, which the server lets go of. */
function answering(body: string, sockets: Set<Socket>): Server {
  const headers = {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    // The daemon that comes next has to be found by a new connection.
    Connection: 'close',
  };
  const server = createServer({ requireHostHeader: false }, (_request, response) => {
    response.writeHead(STATUS, headers).end(body);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // A CONNECT has no response object.
  const head = Object.entries(headers).map((header) => `${header.join(': ')}\r\n`);
  server.on('connect', (_request, socket) => {
    socket.on('error', () => {});
    // Read to its end, or it would never close.
    socket.resume();
    socket.end(`HTTP/1.1 ${STATUS} ${STATUS_CODES[STATUS]}\r\n${head.join('')}\r\n${body}`);
  });
  return server;
}
