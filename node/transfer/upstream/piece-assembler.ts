// Cuts a stream of chunks of any length into pieces.
import type { PiecePool } from '../../content/piece-pool.ts';
import { PIECE_BYTES } from '../../limits.ts';

export class PieceAssembler {
  readonly #pool: PiecePool;
  #piece: Buffer;
  #filled = 0;
  #skip: number;

  /** `skip`: bytes at the start of the stream that are here already. */
  constructor(pool: PiecePool, skip = 0) {
    this.#pool = pool;
    this.#piece = this.#fresh();
    this.#skip = skip;
  }

  /** The pieces that `chunk` completes. */
  *push(chunk: Buffer): Generator<Buffer> {
    let offset = Math.min(this.#skip, chunk.length);
    this.#skip -= offset;
    while (offset < chunk.length) {
      const taken = chunk.copy(this.#piece, this.#filled, offset);
      this.#filled += taken;
      offset += taken;
      if (this.#filled < PIECE_BYTES) return;
      const piece = this.#piece;
      this.#piece = this.#fresh();
      this.#filled = 0;
      yield piece;
    }
  }

  /** What is left at the end of the stream: the last, shorter piece, if any. */
  rest(): Buffer | undefined {
    if (this.#filled === 0) return undefined;
    const rest = this.#piece.subarray(0, this.#filled);
    this.#filled = 0;
    return rest;
  }

  #fresh(): Buffer {
    return this.#pool.take();
  }
}
