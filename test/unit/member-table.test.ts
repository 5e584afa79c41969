import { describe, expect, it } from 'vitest';
import { announceIntervalMs, MemberTable, memberTtlMs } from '../../tracker/member-table.ts';
import { memberFixture, vitalsFixture } from '../fixtures/members.ts';

const table = () => new MemberTable({ tracker: 't', firstView: 100 });
const [one, two] = [memberFixture(1), memberFixture(2)];
const ids = (members: readonly { id: string }[]) => members.map((member) => member.id);

describe('MemberTable', () => {
  it('gathers what happened into one change with the next view', () => {
    const members = table();
    expect(members.announce(one, vitalsFixture, 0)).toBe(true);
    expect(members.announce(two, vitalsFixture, 0)).toBe(true);
    const change = members.takeChange();
    expect(change).toMatchObject({ tracker: 't', view: 101, full: false, left: [] });
    expect(ids(change!.joined)).toEqual([one.id, two.id]);
    expect(members.takeChange()).toBeUndefined();
    expect(members.fullList()).toMatchObject({ view: 101, full: true, joined: [one, two] });
  });

  it('sees no change in a repeated announcement, one in a restart or a new address', () => {
    const members = table();
    members.announce(one, vitalsFixture, 0);
    members.takeChange();
    expect(members.announce({ ...one, archives: [] }, vitalsFixture, 1)).toBe(false);
    expect(members.takeChange()).toBeUndefined();
    expect(members.announce({ ...one, epoch: 2 }, vitalsFixture, 2)).toBe(true);
    expect(members.announce({ ...one, epoch: 2, port: 99 }, vitalsFixture, 3)).toBe(true);
    expect(members.takeChange()!.joined).toEqual([{ ...one, epoch: 2, port: 99 }]);
    expect(members.announce(one, vitalsFixture, 4)).toBe(false);
  });

  it('keeps the last vitals', () => {
    const members = table();
    members.announce(one, vitalsFixture, 0);
    members.announce(one, { ...vitalsFixture, objects: 7 }, 5);
    expect(members.entries()).toMatchObject([{ announcedAtMs: 5, vitals: { objects: 7 } }]);
  });

  it('drops who stops announcing after the time to live', () => {
    const members = table();
    members.announce(one, vitalsFixture, 0);
    members.announce(two, vitalsFixture, 1000);
    members.takeChange();
    expect(members.expire(29_999)).toBe(false);
    expect(members.expire(30_000)).toBe(true);
    expect(members.takeChange()).toMatchObject({ joined: [], left: [one.id] });
    expect(members.size).toBe(1);
  });

  it('drops a suspect within 3 s, unless it comes back or announces', () => {
    const members = table();
    members.announce(one, vitalsFixture, 0);
    members.announce(two, vitalsFixture, 0);
    const three = memberFixture(3);
    members.announce(three, vitalsFixture, 0);
    for (const { id } of [one, two, three]) members.suspect(id, 1000);
    members.clear(two.id);
    members.announce(three, vitalsFixture, 1500);
    members.takeChange();
    expect(members.expire(4000)).toBe(true);
    expect(members.takeChange()!.left).toEqual([one.id]);
  });

  it('says joined, not left, of a member that went and came within one batch', () => {
    const members = table();
    members.announce(one, vitalsFixture, 0);
    members.takeChange();
    members.expire(40_000);
    members.announce({ ...one, epoch: 2 }, vitalsFixture, 40_000);
    expect(members.takeChange()).toMatchObject({ joined: [{ epoch: 2 }], left: [] });
  });

  it('asks large fleets to announce less often', () => {
    expect([announceIntervalMs(3), announceIntervalMs(1000)]).toEqual([12_000, 30_000]);
    expect(memberTtlMs(60)).toBe(30_000);
  });
});
