// SHA-256 digests, the names of objects.
import { createHash, hash } from 'node:crypto';

/** Lower-case hexadecimal SHA-256, 64 characters. */
export type Digest = string & { readonly __brand?: 'Digest' };

const pattern = /^[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return pattern.test(text);
}

export function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return hash('sha256', bytes, 'hex');
}

/** A running digest over bytes given in order. */
export class Hasher {
  readonly #hash = createHash('sha256');

  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  /** Ends the computation; the hasher cannot be used afterwards. */
  digest(): Digest {
    return this.#hash.digest('hex');
  }
}
