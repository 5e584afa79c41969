// TLS 1.3 with an external pre-shared key (RFC 8446, 4.2.11): whoever knows the key is let in,
// and no certificate counts for anything.
import { createSecureContext } from 'node:tls';
import type { ClientTls, Credentials } from './credentials.ts';

const IDENTITY = 'debherd';

/** A connection without use is probed after so long: its other end may have lost its power. */
export const TCP_KEEPALIVE_MS = 300_000;

// With a SHA-256 suite only: OpenSSL binds an external PSK to SHA-256 and refuses it elsewhere.
const suite = {
  ciphers: 'TLS_AES_128_GCM_SHA256',
  // The key is secret from quantum computers as well, so that X25519MLKEM768, the default, would
  // only make handshakes larger and slower.
  ecdhCurve: 'X25519',
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
} as const;

/** The credentials of whoever knows `key` (32 bytes). */
export function pskCredentials(key: Buffer): Credentials {
  let client: ClientTls | undefined;
  return {
    server: () => ({
      ...suite,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEPALIVE_MS,
      pskCallback: (_socket, identity) => (identity === IDENTITY ? key : null),
    }),
    client: () => {
      client ??= clientOptions(key);
      return client;
    },
  };
}

function clientOptions(key: Buffer): ClientTls {
  return {
    // One context for all connections: building it costs more than the handshake.
    secureContext: createSecureContext({ ...suite, ca: [] }),
    ...suite,
    ca: [],
    rejectUnauthorized: true,
    // A resumed session would do without the callback, and so without this key.
    maxCachedSessions: 0,
    pskCallback: () => ({ psk: key, identity: IDENTITY }),
    // Called only when the server showed a certificate, hence did not prove to know the key.
    checkServerIdentity: () => new Error('the server shows a certificate, not the fleet key'),
  };
}
