// Reads pieces into memory that is used again.
import type { PiecePool } from './piece-pool.ts';

interface Source {
  /** May put the bytes into `into`, and returns a view of them wherever they are. */
  read(offset: number, length: number, into: Buffer): Promise<Buffer>;
}

export interface Lent {
  readonly bytes: Buffer;
  /** To be called when nobody reads the bytes any more, sockets included; or never. */
  release(): void;
}

export async function pooledRead(
  pool: Pick<PiecePool, 'take' | 'give'>,
  source: Source,
  offset: number,
  length: number,
): Promise<Lent> {
  const slot = pool.take(length);
  const bytes = await source.read(offset, length, slot);
  let lent = true;
  const release = () => {
    // Once: afterwards the same memory is somebody else's.
    if (lent) pool.give(slot);
    lent = false;
  };
  if (bytes.buffer !== slot.buffer) release();
  return { bytes, release };
}
