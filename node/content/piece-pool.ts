// Memory for pieces on their way through, used again and again: a transfer would otherwise leave
// its whole length behind as garbage outside V8's heap, which V8 pays for with marking all of it.
import { PIECE_BYTES } from '../limits.ts';

/** Room before a piece for its SHA-256 and what else goes before it (wire/frame-writer.ts). */
export const SLOT_HEAD = 64;
/** And behind it: the end of a chunk. */
export const SLOT_TAIL = 2;
const SLOT_BYTES = SLOT_HEAD + PIECE_BYTES + SLOT_TAIL;
const FREE_MAX = 48;

export class PiecePool {
  readonly #free: ArrayBuffer[] = [];
  /** Weak: what is never given back is garbage like any other memory, and no harm is done. */
  readonly #out = new WeakSet<ArrayBufferLike>();

  /**
   * `length` bytes of any content, with room before and behind them. Only those of a whole piece
   * come from memory that was used before.
   */
  take(length = PIECE_BYTES): Buffer<ArrayBuffer> {
    const whole = length === PIECE_BYTES ? this.#free.pop() : undefined;
    const slot = whole ?? new ArrayBuffer(SLOT_HEAD + length + SLOT_TAIL);
    this.#out.add(slot);
    return Buffer.from(slot, SLOT_HEAD, length);
  }

  /** Whether there is room before and behind `piece`, which nobody else uses. */
  owns(piece: Buffer): boolean {
    const { buffer, byteOffset, length } = piece;
    const room = byteOffset === SLOT_HEAD && byteOffset + length + SLOT_TAIL <= buffer.byteLength;
    return room && this.#out.has(buffer);
  }

  /**
   * Takes back a slot by any view of it; what is not out is ignored. Nobody may read or write the
   * memory afterwards: not a socket, not the disk.
   */
  give(view: Buffer): void {
    if (!this.#out.delete(view.buffer) || this.#free.length >= FREE_MAX) return;
    if (view.buffer.byteLength === SLOT_BYTES) this.#free.push(view.buffer as ArrayBuffer);
  }
}
