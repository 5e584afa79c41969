// Memory for pieces on their way through, used again and again: a transfer would otherwise leave
// its whole length behind as garbage outside V8's heap, which V8 pays for with marking all of it.
import { PIECE_BYTES } from '../limits.ts';

/** A piece arrives behind its SHA-256 (wire/frames.ts). */
export const SLOT_BYTES = 32 + PIECE_BYTES;
const FREE_MAX = 48;

export class PiecePool {
  readonly #free: ArrayBuffer[] = [];
  /** Weak: what is never given back is garbage like any other memory, and no harm is done. */
  readonly #out = new WeakSet<ArrayBufferLike>();

  /** SLOT_BYTES bytes of any content. */
  take(): Buffer<ArrayBuffer> {
    const slot = this.#free.pop() ?? new ArrayBuffer(SLOT_BYTES);
    this.#out.add(slot);
    return Buffer.from(slot);
  }

  /**
   * Takes back a slot by any view of it; what is not out is ignored. Nobody may read or write the
   * memory afterwards: not a socket, not the disk.
   */
  give(view: Buffer): void {
    if (!this.#out.delete(view.buffer) || this.#free.length >= FREE_MAX) return;
    this.#free.push(view.buffer as ArrayBuffer);
  }
}
