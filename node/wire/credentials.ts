// What a machine proves to the others of its fleet, and they to it, on every connection between
// them. The adapter is wire/tls-psk.ts.
import type { ConnectionOptions, TlsOptions } from 'node:tls';

export interface Credentials {
  /** Of a listener: it refuses every client without credentials of the same fleet. */
  server(): TlsOptions;
  /** Of a connection to `host`: it refuses every server without credentials of the same fleet. */
  client(host: string): ClientTls;
}

/** How a connection is made, not where to. */
export interface ClientTls extends Omit<ConnectionOptions, 'host' | 'port' | 'timeout'> {
  /** TLS sessions that undici keeps for resumption (RFC 8446, 2.2). */
  readonly maxCachedSessions?: number;
}
