// The fleet's list and the DHT together, over real sockets.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { DhtDiscovery } from '../../node/discovery/dht-discovery.ts';
import { TrackerFleet } from '../../node/fleet/tracker-fleet.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { systemRandom } from '../../node/platform/random.ts';
import { holdersWhen } from '../contract/discovery.contract.ts';
import { memberFixture, vitalsFixture } from '../fixtures/members.ts';
import { freePort } from '../fixtures/ports.ts';
import { fleetKeyFixture, trackerFixture } from '../fixtures/tracker.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fleet-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function node(n: number, tracker: string, port: number) {
  const base = { clock: systemClock, random: systemRandom, log: silentLog };
  const member = memberFixture(n);
  const self = { ...member, port: port || (await freePort(member.address)) };
  const fleet = await TrackerFleet.open(
    { ...base, vitals: () => vitalsFixture, askPeerForMembers: async () => [] },
    {
      self,
      trackers: [tracker],
      credentials: fleetKeyFixture.credentials,
      listFile: join(folder, `${n}.json`),
      settleMs: 50,
      deadlineMs: 300,
    },
  );
  const options = { host: self.address, port: fleet.self.port, key: fleetKeyFixture, quietMs: 0 };
  const discovery = await DhtDiscovery.open({ ...base, fleet }, options);
  const close = async () => {
    await discovery.close();
    await fleet.close();
  };
  return { fleet, discovery, close };
}

it('finds holders again after a restart, with its tracker dead', async () => {
  const digest = digestOf('an object');
  const tracker = await trackerFixture();
  const [one, two, three] = await Promise.all([1, 2, 3].map((n) => node(n, tracker.url, 0)));
  await Promise.all([one!, two!, three!].map(({ fleet }) => fleet.ready()));
  two!.discovery.announce(digest);
  expect(await holdersWhen(one!.discovery, digest, 1)).toHaveLength(1);
  await tracker.close();
  await one!.close();
  const again = await node(1, tracker.url, one!.fleet.self.port);
  await again.fleet.ready();
  expect(again.fleet.trackers()).toEqual([{ url: tracker.url, connected: false }]);
  expect(await holdersWhen(again.discovery, digest, 1)).toEqual([
    `${two!.fleet.self.address}:${two!.fleet.self.port}`,
  ]);
  await Promise.all([again, two!, three!].map(({ close }) => close()));
});
