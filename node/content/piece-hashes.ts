// SHA-256 of each piece of an object, known piece by piece while the object comes in.
import { createHash, type Hash } from 'node:crypto';
import { PIECE_BYTES } from '../limits.ts';
import { sha256 } from './digest.ts';

export const HASH_BYTES = 32;

/** A list of piece hashes that grows at its end, 32 bytes each in one buffer. */
class PieceHashes {
  #bytes: Buffer;
  #count = 0;

  /** Starts with the hashes in `known` (32 bytes each; a broken rest is left out). */
  constructor(known: Uint8Array = new Uint8Array(0)) {
    this.#count = Math.floor(known.length / HASH_BYTES);
    this.#bytes = Buffer.from(known.subarray(0, this.#count * HASH_BYTES));
  }

  get count(): number {
    return this.#count;
  }

  /** Appends hashes, 32 bytes each; throws RangeError on any other length. */
  append(hashes: Uint8Array): void {
    if (hashes.length % HASH_BYTES !== 0) throw new RangeError('a piece hash has 32 bytes');
    const used = this.#count * HASH_BYTES;
    const needed = used + hashes.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(needed, this.#bytes.length * 2));
      this.#bytes.copy(larger, 0, 0, used);
      this.#bytes = larger;
    }
    this.#bytes.set(hashes, used);
    this.#count += hashes.length / HASH_BYTES;
  }

  /** The hashes so far from piece `from` on, as a view: valid until the next append. */
  slice(from = 0): Buffer {
    return this.#bytes.subarray(Math.min(from, this.#count) * HASH_BYTES, this.#count * HASH_BYTES);
  }
}

/** Hashes pieces from a stream of chunks of any length. */
export class PieceHasher {
  readonly hashes: PieceHashes;
  #current: Hash | undefined;
  #filled = 0;

  /** Continues after the whole pieces in `known`. */
  constructor(known?: Uint8Array) {
    this.hashes = new PieceHashes(known);
  }

  /** Takes the next bytes; returns the number of pieces that are complete now. */
  update(chunk: Uint8Array): number {
    let rest = chunk;
    while (rest.length > 0) {
      const part = rest.subarray(0, PIECE_BYTES - this.#filled);
      rest = rest.subarray(part.length);
      // A chunk that is exactly a piece is hashed in one call, which is measurably cheaper.
      if (part.length === PIECE_BYTES) {
        this.hashes.append(sha256(part));
        continue;
      }
      this.#current ??= createHash('sha256');
      this.#current.update(part);
      this.#filled += part.length;
      if (this.#filled === PIECE_BYTES) this.#endPiece();
    }
    return this.hashes.count;
  }

  /** Ends the object: the last, shorter piece gets its hash. Returns all hashes. */
  end(): Buffer {
    if (this.#filled > 0) this.#endPiece();
    return this.hashes.slice();
  }

  #endPiece(): void {
    if (this.#current !== undefined) this.hashes.append(this.#current.digest());
    this.#current = undefined;
    this.#filled = 0;
  }
}
