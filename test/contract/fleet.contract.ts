// What every fleet must do, wherever its list comes from. Called with a way to make one.
import { afterEach, describe, expect, it } from 'vitest';
import type { Fleet, Member } from '../../node/fleet/fleet.ts';
import { memberFixture } from '../fixtures/members.ts';

export interface FleetFixture {
  readonly fleet: Fleet;
  /** Makes these the list of the others, and resolves when the fleet has it. Absent: it is solo. */
  readonly list?: (others: readonly Member[]) => Promise<void>;
  /** Removes what the fixture made, the fleet too. */
  readonly remove: () => Promise<void>;
}

export type MakeFleet = (self: Member) => Promise<FleetFixture>;

const self = memberFixture(0, { archives: ['archive.ubuntu.com'] });
const [one, two, three] = [memberFixture(1), memberFixture(2), memberFixture(3)];
const keys = Array.from({ length: 20 }, (_, n) => `key ${n}`);

const namesOf = (members: readonly Member[]) => members.map(({ name }) => name).sort();

export function fleetContract(name: string, make: MakeFleet): void {
  const made: FleetFixture[] = [];
  afterEach(async () => {
    for (const { remove } of made.splice(0)) await remove();
  });
  const fixture = async () => {
    const fresh = await make(self);
    made.push(fresh);
    await fresh.fleet.ready();
    let changes = 0;
    fresh.fleet.onChange(() => changes++);
    return { ...fresh, changes: () => changes };
  };

  describe(`${name} is a fleet`, () => {
    it('has the node itself, who owns all when nobody else is there', async () => {
      const { fleet } = await fixture();
      expect(fleet.self).toEqual(self);
      expect(fleet.members()).toEqual([self]);
      expect(fleet.member(self.id)).toEqual(self);
      expect(fleet.member(one.id)).toBeUndefined();
      expect(fleet.rank('k')).toEqual([self]);
    });

    it('does not blame itself', async () => {
      const { fleet } = await fixture();
      fleet.blame(fleet.self, 'corrupt', 'gave wrong bytes');
      expect(fleet.blamed(self.id)).toBeUndefined();
      expect(fleet.blames()).toEqual([]);
    });

    it('blames whoever is not in the list, the newest blame first', async () => {
      const { fleet } = await fixture();
      fleet.blame(one, 'unreachable', 'refused');
      fleet.blame(two, 'slow', 'a tenth of what it has');
      expect(fleet.blames()).toMatchObject([
        { member: two.id, name: two.name, fault: 'slow', detail: 'a tenth of what it has' },
        { member: one.id, name: one.name, fault: 'unreachable', detail: 'refused' },
      ]);
      expect(fleet.blamed(one.id, { busy: false })).toMatchObject({ fault: 'unreachable' });
      expect(fleet.blamed(two.id)).toMatchObject({ fault: 'slow' });
      expect(fleet.blamed(two.id, { busy: false })).toBeUndefined();
    });

    it('takes no news of itself from others', async () => {
      const { fleet, changes } = await fixture();
      fleet.learn({ ...self, epoch: self.epoch + 1, port: 9 });
      expect([fleet.self, fleet.members(), changes()]).toEqual([self, [self], 0]);
    });

    it('tells of nothing once it is closed', async () => {
      const { fleet, changes } = await fixture();
      await fleet.close();
      fleet.learn(one);
      expect([namesOf(fleet.members()), changes()]).toEqual([['host0'], 0]);
    });

    it('keeps nobody waiting once it is closed', async () => {
      const { fleet } = await make(self);
      await fleet.close();
      await fleet.ready();
    });
  });

  describe(`${name}, when somebody is heard of`, () => {
    it('learns members, unless it is solo', async () => {
      const { fleet, changes, list } = await fixture();
      const { view } = fleet;
      fleet.learn(one);
      if (list === undefined) {
        expect(fleet.solo).toBe(true);
        expect([fleet.members(), fleet.view, changes()]).toEqual([[self], view, 0]);
        return;
      }
      expect(fleet.solo).toBe(false);
      expect(namesOf(fleet.members())).toEqual(['host0', 'host1']);
      expect([fleet.member(one.id), changes()]).toEqual([one, 1]);
      fleet.learn(one);
      expect([fleet.view >= view, changes()]).toEqual([true, 1]);
    });
  });
}

/** Of fleets that are not solo. */
export function listedFleetContract(name: string, make: MakeFleet): void {
  const made: FleetFixture[] = [];
  afterEach(async () => {
    for (const { remove } of made.splice(0)) await remove();
  });
  const fixture = async (...others: Member[]) => {
    const { list, ...fresh } = await make(self);
    made.push(fresh);
    await fresh.fleet.ready();
    await list!(others);
    let changes = 0;
    fresh.fleet.onChange(() => changes++);
    return { ...fresh, list: list!, changes: () => changes };
  };

  describe(`${name}, as its list changes`, () => {
    it('has who joined, drops who left, and its view grows', async () => {
      const { fleet, list, changes } = await fixture(one);
      const views = [fleet.view];
      expect(namesOf(fleet.members())).toEqual(['host0', 'host1']);
      await list([one, two]);
      views.push(fleet.view);
      expect(namesOf(fleet.members())).toEqual(['host0', 'host1', 'host2']);
      await list([two]);
      views.push(fleet.view);
      expect(namesOf(fleet.members())).toEqual(['host0', 'host2']);
      expect([fleet.member(one.id), fleet.member(two.id)]).toEqual([undefined, two]);
      expect(views).toEqual([...new Set(views)].sort((a, b) => a - b));
      expect(changes()).toBeGreaterThanOrEqual(2);
    });

    it('tells of a change once it shows it', async () => {
      const { fleet, list } = await fixture(one);
      const seen: string[] = [];
      fleet.onChange(() => seen.push(namesOf(fleet.rank('k', { unbiased: true })).join()));
      await list([one, two]);
      expect(seen.at(-1)).toBe('host0,host1,host2');
    });

    it('does not tell of a list like the last one', async () => {
      const { list, changes } = await fixture(one, two);
      await list([one, two]);
      expect(changes()).toBe(0);
    });

    it('takes the newer start of a member, and not an older one', async () => {
      const { fleet, changes } = await fixture(one);
      fleet.learn({ ...one, epoch: 5, port: 5 });
      expect([fleet.member(one.id)?.port, changes()]).toEqual([5, 1]);
      fleet.learn({ ...one, epoch: 4, port: 4 });
      expect([fleet.member(one.id)?.port, changes()]).toEqual([5, 1]);
      expect(namesOf(fleet.members())).toEqual(['host0', 'host1']);
    });

    it('takes the newer start of a member from its list', async () => {
      const { fleet, list } = await fixture(one);
      await list([{ ...one, epoch: 5, port: 5 }]);
      expect(fleet.member(one.id)).toEqual({ ...one, epoch: 5, port: 5 });
    });

    it('gives who starts anew a new chance, except for wrong bytes', async () => {
      const { fleet } = await fixture(one, two);
      fleet.blame(one, 'unreachable', 'refused');
      fleet.blame(two, 'corrupt', 'gave wrong bytes');
      for (const member of [one, two]) fleet.learn({ ...member, epoch: 2 });
      expect(fleet.blamed(one.id)).toBeUndefined();
      expect(fleet.blamed(two.id)).toMatchObject({ fault: 'corrupt' });
    });

    it('remembers what it blames for whoever stays', async () => {
      const { fleet, list } = await fixture(one);
      fleet.blame(one, 'unreachable', 'refused');
      await list([one, two]);
      expect(fleet.blamed(one.id)).toMatchObject({ fault: 'unreachable' });
    });
  });

  describe(`${name}, when it ranks`, () => {
    it('gives all in one order for a key, which stays when somebody comes in between', async () => {
      const { fleet, list } = await fixture(one, two);
      const before = keys.map((key) => fleet.rank(key));
      for (const [n, key] of keys.entries()) {
        expect(namesOf(before[n]!)).toEqual(['host0', 'host1', 'host2']);
        expect(fleet.rank(key, { limit: 2 })).toEqual(before[n]!.slice(0, 2));
      }
      expect(new Set(before.map(([owner]) => owner)).size).toBe(3);
      await list([one, two, three]);
      const after = keys.map((key) => fleet.rank(key));
      expect(after.map((ranked) => ranked.filter(({ id }) => id !== three.id))).toEqual(before);
      expect(after.map(([owner]) => owner)).toContainEqual(three);
    });

    it('puts who is gone or wrong last, unless unbiased; who is busy stays', async () => {
      const { fleet } = await fixture(one, two, three);
      const [owner, ...others] = fleet.rank('k') as [Member, ...Member[]];
      // Nobody blames itself, whoever that is here.
      const [blamed, first] = owner.id === self.id ? [others[0]!, owner] : [owner, others[0]!];
      const unbiased = fleet.rank('k', { unbiased: true });
      fleet.blame(blamed, 'slow', 'a tenth of what it has');
      expect(fleet.rank('k')).toEqual(unbiased);
      fleet.blame(blamed, 'unreachable', 'refused');
      const ranked = fleet.rank('k');
      expect(ranked[0]).toEqual(first);
      expect(ranked.at(-1)).toEqual(blamed);
      expect(fleet.rank('k', { unbiased: true })).toEqual(unbiased);
    });

    it('leaves out who does not go upstream, and for a host who has it not', async () => {
      const idle = memberFixture(4, { upstream: false });
      const { fleet } = await fixture(one, idle);
      expect(namesOf(fleet.members())).toEqual(['host0', 'host1', 'host4']);
      expect(namesOf(fleet.rank('k'))).toEqual(['host0', 'host1']);
      expect(namesOf(fleet.rank('k', { host: 'archive.ubuntu.com' }))).toEqual(['host0']);
      expect(namesOf(fleet.rank('k', { host: 'mirror.example' }))).toEqual(['host0', 'host1']);
    });
  });
}
