// Authenticated encryption of datagrams under the fleet key: nonce, ciphertext, tag.
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import type { Random } from '../platform/random.ts';

const CIPHER = 'aes-256-gcm';
const NONCE = 12;
const TAG = 16;
const COUNTER_MAX = 0xffffffff;

/** Bytes that sealing adds. */
export const SEAL_BYTES = NONCE + TAG;

export class Sealer {
  // A key object: preparing the key anew costs four times the work on the bytes.
  readonly #key: KeyObject;
  readonly #random: Random;
  // Eight random bytes and a counter: never the same twice, without a draw for each datagram.
  readonly #nonce = Buffer.alloc(NONCE);
  #counter = COUNTER_MAX;

  /** `key`: 32 bytes. */
  constructor(key: Buffer, random: Random) {
    this.#key = createSecretKey(key);
    this.#random = random;
  }

  seal(plain: Uint8Array): Buffer {
    const nonce = this.#nextNonce();
    const cipher = createCipheriv(CIPHER, this.#key, nonce);
    const body = cipher.update(plain);
    cipher.final();
    return Buffer.concat([nonce, body, cipher.getAuthTag()]);
  }

  /** The plain bytes, or undefined when `sealed` was not sealed with this key. */
  open(sealed: Buffer): Buffer | undefined {
    if (sealed.length < SEAL_BYTES) return undefined;
    const decipher = createDecipheriv(CIPHER, this.#key, sealed.subarray(0, NONCE), {
      authTagLength: TAG,
    });
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG));
    const plain = decipher.update(sealed.subarray(NONCE, sealed.length - TAG));
    try {
      decipher.final();
      return plain;
    } catch {
      return undefined;
    }
  }

  #nextNonce(): Buffer {
    if (this.#counter === COUNTER_MAX) {
      this.#counter = 0;
      this.#random.bytes(8).copy(this.#nonce);
    }
    this.#nonce.writeUInt32BE(this.#counter++, 8);
    return this.#nonce;
  }
}
