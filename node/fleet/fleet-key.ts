// The fleet key: one secret in a file, from which each use derives a subkey of its own.
import { hkdfSync } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { HerdError, reasonOf } from '../errors.ts';
import type { Credentials } from '../wire/credentials.ts';
import { pskCredentials } from '../wire/tls-psk.ts';

export interface FleetKey {
  /** Of members and trackers towards each other. */
  readonly credentials: Credentials;
  /** 32 bytes: seals the datagrams of the DHT. */
  readonly dhtSeal: Buffer;
  /** 32 bytes: turns digests into DHT keys. */
  readonly dhtKey: Buffer;
}

const TEXT_MIN = 16;

/**
 * Reads a fleet key file: at least 32 bytes as hex or base64 (`openssl rand -hex 32`), or any text
 * of 16 characters or more; white space around it does not count. A file that every local user
 * can read is refused: the key lets its holder speak for a member. (Group access is allowed, for
 * daemons that run as a user of their own.) Throws HerdError BAD_REQUEST with one line to act on.
 */
export async function readFleetKey(path: string): Promise<FleetKey> {
  const text = await readSecret(path);
  if (text.length < TEXT_MIN) {
    throw problem(
      `fleet key file ${path} is too short (${text.length} characters, at least ${TEXT_MIN}): ` +
        'make one with "openssl rand -hex 32"',
    );
  }
  return deriveFleetKey(text);
}

/** Subkeys of `secret` by HKDF-SHA256 (RFC 5869), one for each use. */
export function deriveFleetKey(secret: string): FleetKey {
  const material = keyMaterial(secret.trim());
  const derive = (use: string) =>
    Buffer.from(hkdfSync('sha256', material, 'debherd fleet key v1', use, 32));
  return {
    credentials: pskCredentials(derive('tls')),
    dhtSeal: derive('dht-seal'),
    dhtKey: derive('dht-key'),
  };
}

// The same key in hex and in base64 is the same key; anything else is a passphrase.
function keyMaterial(text: string): Buffer {
  if (/^(?:[0-9a-fA-F]{2}){32,}$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/_-]{43,}={0,2}$/.test(text)) return Buffer.from(text, 'base64');
  return Buffer.from(text, 'utf8');
}

async function readSecret(path: string): Promise<string> {
  try {
    const { mode } = await stat(path);
    if (mode & 0o007) {
      throw problem(`fleet key file ${path} is open to every user: run "chmod o= ${path}"`);
    }
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (error instanceof HerdError) throw error;
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw missing
      ? problem(`fleet key file ${path} does not exist: make it with "openssl rand -hex 32"`)
      : problem(`fleet key file ${path} cannot be read: ${reasonOf(error)}`, error);
  }
}

function problem(message: string, cause?: unknown): HerdError {
  return new HerdError('BAD_REQUEST', message, { cause });
}
