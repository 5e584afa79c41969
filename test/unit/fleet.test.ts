import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SoloFleet } from '../../node/fleet/solo-fleet.ts';
import { StaticFleet } from '../../node/fleet/static-fleet.ts';
import { TrackerFleet } from '../../node/fleet/tracker-fleet.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { systemRandom } from '../../node/platform/random.ts';
import { type Member, sameMember } from '../../tracker/protocol.ts';
import { fleetContract, listedFleetContract, type MakeFleet } from '../contract/fleet.contract.ts';
import { vitalsFixture } from '../fixtures/members.ts';
import {
  type FollowerFixture,
  fleetKeyFixture,
  followerFixture,
  trackerFixture,
} from '../fixtures/tracker.ts';

const clock = systemClock;

const solo: MakeFleet = async (self) => {
  const fleet = new SoloFleet({ clock }, { self });
  return { fleet, remove: () => fleet.close() };
};

const fixed: MakeFleet = async (self) => {
  const fleet = new StaticFleet({ clock }, { self });
  return { fleet, list: async (others) => fleet.replace(others), remove: () => fleet.close() };
};

/** Its list is that of a real tracker, to which the others announce themselves. */
const tracked: MakeFleet = async (self) => {
  const folder = await mkdtemp(join(tmpdir(), 'debherd-fleet-'));
  const { url, close } = await trackerFixture();
  const fleet = await TrackerFleet.open(
    {
      ...{ clock, random: systemRandom, log: silentLog },
      vitals: () => vitalsFixture,
      askPeerForMembers: async () => [],
    },
    {
      ...{ self, trackers: [url], credentials: fleetKeyFixture.credentials },
      ...{ listFile: join(folder, 'members.json'), settleMs: 0 },
    },
  );
  const others = new Map<Member, FollowerFixture>();
  const list = async (members: readonly Member[]) => {
    for (const [member, { client }] of others) {
      if (members.some((each) => each.id === member.id && sameMember(each, member))) {
        await client.announce();
      } else {
        others.delete(member);
        await client.close();
      }
    }
    const known = [...others.keys()].map(({ id }) => id);
    for (const member of members.filter(({ id }) => !known.includes(id))) {
      const follower = followerFixture(url, member);
      others.set(member, follower);
      follower.client.start();
    }
    const shown = () =>
      fleet.members().length === members.length + 1 &&
      members.every((member) => {
        const found = fleet.member(member.id);
        return found !== undefined && sameMember(found, member);
      });
    while (!shown()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const remove = async () => {
    await Promise.all([...others.values()].map(({ client }) => client.close()));
    await fleet.close();
    await close();
    await rm(folder, { recursive: true });
  };
  return { fleet, list, remove };
};

fleetContract('SoloFleet', solo);
for (const [name, make] of [
  ['StaticFleet', fixed],
  ['TrackerFleet', tracked],
] as const) {
  fleetContract(name, make);
  listedFleetContract(name, make);
}
