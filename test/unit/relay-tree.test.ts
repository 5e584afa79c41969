import { beforeEach, expect, it } from 'vitest';
import { ROOT } from '../../node/swarm/handout.ts';
import { RelayTree, type Seat } from '../../node/swarm/relay-tree.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

let clock: ManualClock;
let tree: RelayTree;
let seats: Record<'a' | 'b' | 'c', Seat>;
const LEASE_MS = 5_000;

beforeEach(() => {
  clock = new ManualClock();
  tree = new RelayTree({ clock });
  seats = { a: tree.enter('a'), b: tree.enter('b'), c: tree.enter('c') };
  tree.assign('a', ROOT, LEASE_MS);
  tree.assign('b', 'a', LEASE_MS);
  tree.assign('c', 'a', LEASE_MS);
});

it('counts a member once, at its source of now', () => {
  tree.assign('c', 'a', LEASE_MS);
  expect(seats.a.children).toBe(2);
  tree.assign('c', 'b', LEASE_MS);
  expect([seats.a.children, seats.b.children, seats.c.parent]).toEqual([1, 1, 'b']);
});

it('frees the place of who is silent, and knows where it was', () => {
  clock.advance(3_000);
  tree.renew('c', LEASE_MS);
  clock.advance(2_001);
  tree.expireLeases();
  expect([seats.a.children, seats.b.parent]).toEqual([1, 'a']);
  tree.renew('b', LEASE_MS);
  expect(seats.a.children).toBe(2);
});

it('lets go of who leaves, has all, or is gone', () => {
  tree.leave('b');
  tree.leave('b');
  expect([seats.a.children, seats.b.parent]).toEqual([1, 'a']);
  tree.detach('c');
  expect([seats.a.children, seats.c.parent]).toEqual([0, undefined]);
  tree.remove('a');
  expect(seats.b.parent).toBeUndefined();
  expect(tree.enter('a')).not.toBe(seats.a);
});

it('counts what each was given to serve', () => {
  for (const source of ['a', ROOT, 'a', 'nobody']) tree.countGiven(source);
  expect([seats.a.given, tree.rootGiven]).toEqual([2, 1]);
});
