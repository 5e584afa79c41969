// Memory on loan to a reader must not be used again before the reader is done.
import { expect, test } from 'vitest';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { PieceRing } from '../../node/flight/piece-ring.ts';

const hash = Buffer.alloc(32);

/** A ring of `count` pieces; `free` says whether the memory of one is back in the pool. */
function ringOf(count: number) {
  const pool = new PiecePool();
  const ring = new PieceRing({ pool });
  const slots = Array.from({ length: count }, () => pool.take());
  for (const [index, bytes] of slots.entries()) ring.put(index, bytes);
  return { ring, slots, free: (index: number) => !pool.owns(slots[index]!) };
}

test('a dropped piece is free at once when nobody has it, and later ones stay', () => {
  const { ring, slots, free } = ringOf(3);
  ring.trim(2);
  expect([0, 1, 2].map(free)).toEqual([true, true, false]);
  expect([0, 1, 2].map((index) => ring.has(index))).toEqual([false, false, true]);
  expect(ring.lend(1, hash)).toBeUndefined();
  expect(ring.bytes(2)).toBe(slots[2]);
});

test('a lent piece is free when it is dropped and its last reader has released it', () => {
  const { ring, slots, free } = ringOf(1);
  const one = ring.lend(0, hash)!;
  const other = ring.lend(0, hash)!;
  expect(one).toMatchObject({ index: 0, hash, bytes: slots[0] });
  ring.trim(1);
  expect(free(0)).toBe(false);
  one.release();
  expect(free(0)).toBe(false);
  other.release();
  expect(free(0)).toBe(true);
});

test('a reader that releases twice does not release for another one', () => {
  const { ring, free } = ringOf(1);
  const one = ring.lend(0, hash)!;
  ring.lend(0, hash);
  ring.trim(1);
  one.release();
  one.release();
  expect(free(0)).toBe(false);
});

test('a piece that all have released stays for those who come, until it is dropped', () => {
  const { ring, free } = ringOf(1);
  ring.lend(0, hash)!.release();
  expect([ring.has(0), free(0)]).toEqual([true, false]);
  ring.trim(1);
  expect(free(0)).toBe(true);
});
