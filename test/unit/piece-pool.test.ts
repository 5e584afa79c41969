// Memory that is used again must not be used twice.
import { expect, test } from 'vitest';
import { PiecePool, SLOT_HEAD, SLOT_TAIL } from '../../node/content/piece-pool.ts';
import { PIECE_BYTES } from '../../node/limits.ts';

test('what is given back is taken again, by whatever view of it', () => {
  const pool = new PiecePool();
  const first = pool.take();
  expect(first.length).toBe(PIECE_BYTES);
  pool.give(first.subarray(32, 500));
  expect(pool.take().buffer).toBe(first.buffer);
});

test('what is out is never given to somebody else, and one slot is given back once', () => {
  const pool = new PiecePool();
  const slots = Array.from({ length: 5 }, () => pool.take());
  expect(new Set(slots.map(({ buffer }) => buffer)).size).toBe(5);
  pool.give(slots[0]!);
  pool.give(slots[0]!.subarray(1));
  expect(pool.take().buffer).toBe(slots[0]!.buffer);
  expect(pool.take().buffer).not.toBe(slots[0]!.buffer);
});

test('memory of others is left alone', () => {
  const pool = new PiecePool();
  const strange = Buffer.alloc(SLOT_HEAD + PIECE_BYTES + SLOT_TAIL);
  pool.give(strange);
  expect(pool.take().buffer).not.toBe(strange.buffer);
});

test('it does not keep more than a few', () => {
  const pool = new PiecePool();
  const slots = Array.from({ length: 200 }, () => pool.take());
  for (const slot of slots) pool.give(slot);
  const known = new Set(slots.map(({ buffer }) => buffer));
  const again = Array.from({ length: 200 }, () => pool.take());
  expect(again.filter(({ buffer }) => known.has(buffer)).length).toBeLessThan(100);
});
