// The one importer of Fastify: HTTP as a server, on every port but apt's.
import type { TlsOptions } from 'node:tls';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';

export type {
  FastifyInstance as HttpServer,
  FastifyReply as HttpReply,
  FastifyRequest as HttpRequest,
};

interface HttpServerOptions {
  /** TLS options of the listener (wire/tls-psk.ts); plain HTTP without. */
  readonly tls?: TlsOptions;
  /**
   * Idle keep-alive connections are closed after this many milliseconds. It must outlast the
   * clients' own, or a request meets a connection that was just closed.
   */
  readonly keepAliveMs?: number;
  /** Largest request body in bytes. */
  readonly bodyMax?: number;
}

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
  if (options.tls === undefined) return fastify(common);
  const secure = fastify({ ...common, https: options.tls });
  return secure as unknown as FastifyInstance;
}
