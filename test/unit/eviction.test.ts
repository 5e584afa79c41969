import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Candidate, victims } from '../../node/store/eviction.ts';

function candidate(key: string, lastUsed: number, rest: Partial<Candidate> = {}): Candidate {
  const plain = { pinned: false, partial: false, oversize: false, heldElsewhere: false };
  return { key, size: 10, lastUsed, ...plain, ...rest };
}

it('goes by class, then by last use, and spares what is read', () => {
  const all = [
    candidate('last copy, old', 1),
    candidate('read now', 0, { pinned: true, heldElsewhere: true }),
    candidate('held, young', 9, { heldElsewhere: true }),
    candidate('held, old', 2, { heldElsewhere: true }),
    candidate('half', 8, { partial: true }),
    candidate('too large', 9, { oversize: true }),
    candidate('last copy, young', 5),
  ];
  const order = [
    'too large',
    'half',
    'held, old',
    'held, young',
    'last copy, old',
    'last copy, young',
  ];
  for (let count = 0; count <= order.length; count++) {
    const keys = victims(all, count * 10).map(({ key }) => key);
    expect(keys).toEqual(order.slice(0, count));
  }
  expect(victims(all, 1e9).map(({ key }) => key)).toEqual(order);
});

it('frees enough where it can, and not one object more', () => {
  const one = fc.record({
    key: fc.string(),
    size: fc.nat(100),
    lastUsed: fc.nat(100),
    pinned: fc.boolean(),
    partial: fc.boolean(),
    oversize: fc.boolean(),
    heldElsewhere: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(one), fc.integer({ min: -5, max: 500 }), (all, bytes) => {
      const chosen = victims(all, bytes);
      const sum = (list: Candidate[]) => list.reduce((total, { size }) => total + size, 0);
      expect(chosen.some(({ pinned }) => pinned)).toBe(false);
      expect(sum(chosen)).toBeGreaterThanOrEqual(
        Math.min(bytes, sum(all.filter(({ pinned }) => !pinned))),
      );
      if (chosen.length > 0) expect(sum(chosen.slice(0, -1))).toBeLessThan(bytes);
    }),
  );
});
