// The one importer of Fastify: HTTP as a server, on every port but apt's.
import { createServer as createTcpServer, type ListenOptions, type Server } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Credentials } from './credentials.ts';

export type {
  FastifyInstance as HttpServer,
  FastifyReply as HttpReply,
  FastifyRequest as HttpRequest,
};

interface HttpServerOptions {
  /** Plain HTTP without. */
  readonly credentials?: Credentials;
  /**
   * Idle keep-alive connections are closed after this many milliseconds. It must outlast the
   * clients' own, or a request meets a connection that was just closed.
   */
  readonly keepAliveMs?: number;
  /** Largest request body in bytes. */
  readonly bodyMax?: number;
}

/**
 * Since its version 1.45 libuv accepts one connection per listening socket and turn of the loop. In
 * a rollout a turn of a busy owner took half a second, and sixty members wait at its door.
 */
const LISTENING_SOCKETS = 8;

/** A Fastify instance without logger, whose requests may take as long as they like. */
export function createServer(options: HttpServerOptions = {}): FastifyInstance {
  const common = {
    logger: false,
    keepAliveTimeout: options.keepAliveMs ?? 75_000,
    connectionTimeout: 0,
    requestTimeout: 0,
    bodyLimit: options.bodyMax ?? 1024 * 1024,
    forceCloseConnections: true,
    return503OnClosing: false,
    exposeHeadRoutes: false,
  } as const;
  if (options.credentials === undefined) return fastify(common);
  const secure = fastify({ ...common, https: options.credentials.server() });
  return secure as unknown as FastifyInstance;
}

/**
 * Listens with several sockets on one port (SO_REUSEPORT, socket(7)) until the server is closed;
 * resolves to its URL. Throws the listener's own error, EADDRINUSE also where others share theirs.
 */
export async function listenWidely(
  server: FastifyInstance,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<string> {
  if (port !== 0) await closed(await listening(createTcpServer(), { host, port }));
  const doors: Server[] = [];
  server.addHook('preClose', async () => {
    for (const door of doors) door.close();
  });
  // Fastify hands the options to Node as they are; its types do not know all of them.
  const place = { host, port, reusePort: true };
  const url = await server.listen(place);
  const shared = { host, port: Number(new URL(url).port), reusePort: true };
  for (let more = 1; more < LISTENING_SOCKETS; more++) {
    // As Node's own HTTP servers are made (net.createServer).
    const door = createTcpServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      server.server.emit('connection', socket);
    });
    doors.push(await listening(door, shared));
  }
  return url;
}

function listening(server: Server, place: ListenOptions): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(place, () => resolve(server));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
