import { describe, expect, it } from 'vitest';
import { MemberList } from '../../node/fleet/member-list.ts';
import type { Member, MemberChange } from '../../tracker/protocol.ts';
import { memberFixture } from '../fixtures/members.ts';

const self = memberFixture(0);
const [one, two, three] = [1, 2, 3].map((n) => memberFixture(n)) as [Member, Member, Member];
const GRACE = 20_000;

const full = (view: number, joined: Member[], tracker = 't'): MemberChange => ({
  tracker,
  view,
  full: true,
  joined,
  left: [],
});
const delta = (view: number, joined: Member[], left: Member[] = [], tracker = 't') => ({
  tracker,
  view,
  full: false,
  joined,
  left: left.map(({ id }) => id),
});

function fixture() {
  const list = new MemberList({ self, graceMs: GRACE });
  const names = () =>
    [...list.members.values()]
      .map(({ name }) => name)
      .sort()
      .join(' ');
  return { list, names };
}

describe('MemberList', () => {
  it('follows one tracker and takes its view', () => {
    const { list, names } = fixture();
    expect(list.apply('a', full(100, [self, one]), 0)).toEqual([one.id]);
    expect(list.apply('a', delta(101, [two]), 0)).toEqual([two.id]);
    expect(list.apply('a', delta(102, [], [one]), 0)).toEqual([]);
    expect(names()).toBe('host0 host2');
    expect(list.view).toBe(102);
    expect(list.apply('a', full(102, [self, two]), 0)).toBeUndefined();
    expect(list.view).toBe(102);
  });

  it('ignores changes that are old, of another start, or before a list', () => {
    const { list, names } = fixture();
    expect(list.apply('a', delta(5, [one]), 0)).toBeUndefined();
    list.apply('a', full(100, [one]), 0);
    expect(list.apply('a', delta(100, [], [one]), 0)).toBeUndefined();
    expect(list.apply('a', delta(101, [two], [], 'other'), 0)).toBeUndefined();
    expect(names()).toBe('host0 host1');
  });

  it('keeps everyone while its tracker is dead, for as long as it takes', () => {
    const { list, names } = fixture();
    list.apply('a', full(100, [one, two]), 0);
    expect(list.down('a', 10)).toBeUndefined();
    expect(list.sweep(1e9)).toBeUndefined();
    expect(names()).toBe('host0 host1 host2');
  });

  it('gives members time to find a restarted tracker, whose numbers may be smaller', () => {
    const { list, names } = fixture();
    list.apply('a', full(100, [one, two]), 0);
    list.down('a', 10);
    expect(list.apply('a', full(3, [self], 'u'), 1000)).toBeUndefined();
    expect(list.apply('a', delta(4, [one], [], 'u'), 1100)).toBeUndefined();
    expect(list.sweep(1000 + GRACE - 1)).toBeUndefined();
    expect(list.sweep(1000 + GRACE)).toEqual([]);
    expect(names()).toBe('host0 host1');
    const before = list.view;
    list.apply('a', delta(5, [three], [], 'u'), 30_000);
    expect(list.view).toBeGreaterThan(before);
  });

  it('joins the lists of two trackers; one that dies takes nobody with it', () => {
    const { list, names } = fixture();
    list.apply('a', full(100, [one, two]), 0);
    list.apply('b', full(500, [two, three], 'b'), 0);
    expect(names()).toBe('host0 host1 host2 host3');
    expect(list.view).toBe(500);
    list.apply('b', delta(501, [], [two], 'b'), 0);
    expect(names()).toContain('host2');
    expect(list.down('b', 0)).toBeUndefined();
    list.sweep(GRACE);
    expect(names()).toBe('host0 host1 host2');
  });

  it('restores the last list until a tracker knows better', () => {
    const { list, names } = fixture();
    expect(list.restore([one, two])).toEqual([one.id, two.id]);
    list.sweep(1e9);
    expect(names()).toBe('host0 host1 host2');
    list.apply('a', full(100, [self, three]), 0);
    expect(names()).toBe('host0 host3');
  });

  it('learns members: for a while under a tracker, for good without one', () => {
    const { list, names } = fixture();
    expect(list.learn(self, 0)).toBeUndefined();
    expect(list.learn(one, 0)).toEqual([one.id]);
    expect(list.view).toBe(1);
    list.sweep(1e9);
    list.apply('a', full(100, [two]), 0);
    expect(list.learn(three, 0)).toEqual([three.id]);
    expect(list.view).toBe(100);
    list.apply('a', delta(101, [three]), 50);
    list.sweep(GRACE);
    expect(names()).toBe('host0 host2 host3');
    expect(list.view).toBe(101);
  });

  it('prefers the newer start of a member', () => {
    const { list } = fixture();
    list.apply('a', full(100, [one]), 0);
    const restarted = { ...one, epoch: 2, port: 9 };
    expect(list.learn(restarted, 0)).toEqual([one.id]);
    expect(list.members.get(one.id)).toEqual(restarted);
    expect(list.learn(one, 0)).toBeUndefined();
    list.apply('a', delta(101, [restarted]), 0);
    list.sweep(GRACE);
    expect(list.members.get(one.id)).toEqual(restarted);
  });
});
