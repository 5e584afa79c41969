import { describe, expect, it } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { RankTable } from '../../node/fleet/rendezvous.ts';
import { memberFixture } from '../fixtures/members.ts';

const fleet = (size: number) => Array.from({ length: size }, (_, n) => memberFixture(n + 1));
const digests = (count: number) => Array.from({ length: count }, (_, n) => digestOf(`object ${n}`));
const urls = (count: number) =>
  Array.from({ length: count }, (_, n) => `http://archive.ubuntu.com/ubuntu/dists/s${n}/InRelease`);

function busiest(keys: string[], size: number): number {
  const table = new RankTable(fleet(size));
  const owned = new Map<string, number>();
  for (const key of keys) {
    const { id } = table.rank(key, 1)[0]!;
    owned.set(id, (owned.get(id) ?? 0) + 1);
  }
  return Math.max(...owned.values()) / (keys.length / size);
}

describe('RankTable', () => {
  it('spreads 1,000 keys so that the busiest of 60 has at most twice the mean', () => {
    expect(busiest(digests(1000), 60)).toBeLessThan(2);
    expect(busiest(urls(1000), 60)).toBeLessThan(2);
  });

  it('is fair in a fleet of three, for owner and successor', () => {
    expect(busiest(digests(3000), 3)).toBeLessThan(1.1);
    expect(busiest(urls(3000), 3)).toBeLessThan(1.1);
    const table = new RankTable(fleet(3));
    const orders = new Map<string, number>();
    for (const key of digests(6000)) {
      const order = table
        .rank(key)
        .map((m) => m.name)
        .join();
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(orders.size).toBe(6);
    expect(Math.max(...orders.values())).toBeLessThan(1150);
  });

  it('gives the same first k as the whole order, whatever the order of the list', () => {
    const members = fleet(60);
    const table = new RankTable(members);
    const reversed = new RankTable([...members].reverse());
    for (const key of digests(50)) {
      const all = table.rank(key).map((m) => m.id);
      for (const k of [1, 3, 8, 9, 30]) {
        expect(reversed.rank(key, k).map((m) => m.id)).toEqual(all.slice(0, k));
      }
    }
  });

  it('moves only the keys of a member that left, each to its successor', () => {
    const members = fleet(20);
    const before = new RankTable(members);
    const after = new RankTable(members.slice(1));
    for (const key of digests(300)) {
      const [owner, successor] = before.rank(key, 2);
      const heir = owner!.id === members[0]!.id ? successor : owner;
      expect(after.rank(key, 1)[0]).toBe(heir);
    }
  });

  it('ranks nobody in an empty list', () => {
    expect(new RankTable([]).rank('key')).toEqual([]);
  });
});
