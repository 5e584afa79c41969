// The newest pieces of a flight, in memory: lent to readers, and the memory used again after them.
import type { PiecePool } from '../content/piece-pool.ts';

export interface Piece {
  readonly index: number;
  readonly hash: Buffer;
  readonly bytes: Buffer;
  /** To be called when nobody reads the bytes any more, sockets included; or never. */
  release(): void;
}

interface Held {
  readonly bytes: Buffer;
  /** Readers that have not released it. */
  lent: number;
  /** Out of the ring: free as soon as the last one has released it. */
  dropped: boolean;
}

interface PieceRingDeps {
  readonly pool: Pick<PiecePool, 'give'>;
}

export class PieceRing {
  readonly #deps: PieceRingDeps;
  /** In the order of their indexes. */
  readonly #held = new Map<number, Held>();

  constructor(deps: PieceRingDeps) {
    this.#deps = deps;
  }

  /** Takes the piece after the newest one. */
  put(index: number, bytes: Buffer): void {
    this.#held.set(index, { bytes, lent: 0, dropped: false });
  }

  has(index: number): boolean {
    return this.#held.has(index);
  }

  /** The bytes of a piece that is here, to be read before it is dropped. */
  bytes(index: number): Buffer {
    return this.#held.get(index)!.bytes;
  }

  /** A piece whose memory stays as it is until it is released; `undefined` when it is not here. */
  lend(index: number, hash: Buffer): Piece | undefined {
    const held = this.#held.get(index);
    if (!held) return undefined;
    held.lent++;
    let lent = true;
    const release = () => {
      if (!lent) return;
      lent = false;
      held.lent--;
      this.#recycle(held);
    };
    return { index, hash, bytes: held.bytes, release };
  }

  /** Drops the pieces before `below`. */
  trim(below: number): void {
    for (const [index, held] of this.#held) {
      if (index >= below) return;
      this.#held.delete(index);
      held.dropped = true;
      this.#recycle(held);
    }
  }

  #recycle({ bytes, lent, dropped }: Held): void {
    if (dropped && lent === 0) this.#deps.pool.give(bytes);
  }
}
