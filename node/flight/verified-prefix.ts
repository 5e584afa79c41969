// What is known of an object that grows from its start: how far it is verified, and its hashes.
import { type Digest, Hasher } from '../content/digest.ts';

export class VerifiedPrefix {
  #pieces = 0;
  #bytes = 0;
  #hashes = Buffer.alloc(8 * 32);
  #hasher = new Hasher();

  get pieces(): number {
    return this.#pieces;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Adds the next piece, whose SHA-256 is `hash`. */
  add(bytes: Buffer, hash: Buffer): void {
    if ((this.#pieces + 1) * 32 > this.#hashes.length) {
      this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(this.#hashes.length)]);
    }
    this.#hashes.set(hash, this.#pieces * 32);
    this.#hasher.update(bytes);
    this.#pieces++;
    this.#bytes += bytes.length;
  }

  /** The SHA-256 of a piece; a view. */
  hash(index: number): Buffer {
    return this.#hashes.subarray(index * 32, index * 32 + 32);
  }

  /** The SHA-256 of each piece, 32 bytes each; a copy. */
  hashes(): Buffer {
    return Buffer.from(this.#hashes.subarray(0, this.#pieces * 32));
  }

  /** The SHA-256 of all bytes; nothing can be added afterwards. */
  digest(): Digest {
    return this.#hasher.digest();
  }

  startOver(): void {
    this.#pieces = 0;
    this.#bytes = 0;
    this.#hasher = new Hasher();
  }
}
