// Memory that a piece was read into goes back once, and not while the piece is elsewhere.
import { expect, test, vi } from 'vitest';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { pooledRead } from '../../node/content/pooled-read.ts';
import { PIECE_BYTES } from '../../node/limits.ts';

function setup() {
  const pool = new PiecePool();
  return { pool, give: vi.spyOn(pool, 'give') };
}

test('memory that was used is given back once, when the reader says so', async () => {
  const { pool, give } = setup();
  const read = async (_offset: number, length: number, into: Buffer) => {
    // As a view of it, too.
    return into.fill(7).subarray(0, length);
  };
  const { bytes, release } = await pooledRead(pool, { read }, 0, PIECE_BYTES);
  expect(bytes.every((byte) => byte === 7)).toBe(true);
  expect(give).not.toHaveBeenCalled();
  release();
  release();
  expect(give).toHaveBeenCalledTimes(1);
  expect(pool.take().buffer).toBe(bytes.buffer);
});

test('memory that was not used is free at once', async () => {
  const { pool, give } = setup();
  const cached = Buffer.alloc(100, 1);
  const { bytes, release } = await pooledRead(pool, { read: async () => cached }, 0, 100);
  expect(bytes).toBe(cached);
  expect(give).toHaveBeenCalledTimes(1);
  release();
  expect(give).toHaveBeenCalledTimes(1);
});
