import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { TrackerFleet, type TrackerFleetOptions } from '../../node/fleet/tracker-fleet.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { type Log, silentLog } from '../../node/platform/log.ts';
import { systemRandom } from '../../node/platform/random.ts';
import type { Member } from '../../tracker/protocol.ts';
import { memberFixture, vitalsFixture } from '../fixtures/members.ts';
import { fleetKeyFixture, trackerFixture } from '../fixtures/tracker.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fleet-'));
  cleanups.push(() => rm(folder, { recursive: true }));
  return join(folder, 'members.json');
}

async function tracker(port = 0) {
  const started = await trackerFixture({ port });
  cleanups.push(() => started.close());
  return started;
}

type Asked = (member: Member) => Promise<readonly Member[]>;

async function node(
  n: number,
  trackers: string[],
  options: Partial<TrackerFleetOptions> & {
    asked?: Asked;
    onMessage?: () => void;
    warn?: Log['warn'];
  } = {},
) {
  const { asked = async () => [], onMessage = () => {}, warn = () => {}, ...more } = options;
  const log = { ...silentLog, warn };
  const deps = { clock: systemClock, random: systemRandom, log };
  const fleet = await TrackerFleet.open(
    {
      ...deps,
      vitals: () => vitalsFixture,
      askPeerForMembers: asked,
      trackerMessage: onMessage,
    },
    {
      self: memberFixture(n),
      trackers,
      credentials: fleetKeyFixture.credentials,
      listFile: options.listFile ?? (await listFile()),
      settleMs: 100,
      ...more,
    },
  );
  cleanups.push(() => fleet.close());
  return fleet;
}

it('logs a blame once for as long as it holds, and a tracker that is lost once', async () => {
  const told: string[] = [];
  const warn: Log['warn'] = (_fields, message) => void told.push(message);
  const lost = await trackerFixture({ port: 0 });
  const fleet = await node(1, [lost.url], { warn });
  await fleet.ready();
  for (let n = 0; n < 3; n++) fleet.blame(memberFixture(2), 'unreachable', 'refused');
  await lost.close();
  await expect.poll(() => told.length, { timeout: 5_000 }).toBeGreaterThan(1);
  await sleep(300);
  expect(told).toEqual(['member blamed', 'tracker lost; going on with the last list']);
});

const names = (fleet: TrackerFleet) =>
  fleet
    .members()
    .map(({ name }) => name)
    .sort()
    .join(' ');

async function until(fleet: TrackerFleet, test: () => boolean): Promise<void> {
  const wake = { fn: () => {} };
  fleet.onChange(() => wake.fn());
  while (!test()) await new Promise<void>((resolve) => (wake.fn = resolve));
}

const nowhere = 'https://127.0.0.1:9';

describe('TrackerFleet', () => {
  it('shows three nodes of one moment the same list before any is ready', async () => {
    const { url } = await tracker();
    const fleets: TrackerFleet[] = [];
    const seen: Promise<{ list: string; view: number }>[] = [];
    for (const n of [1, 2, 3]) {
      const fleet = await node(n, [url], { settleMs: 700, deadlineMs: 10_000 });
      fleets.push(fleet);
      seen.push(fleet.ready().then(() => ({ list: names(fleet), view: fleet.view })));
      // The next one starts when this one has a list already.
      while (!fleet.trackers()[0]!.connected) await setImmediate();
    }
    const [first, ...others] = await Promise.all(seen);
    expect(others).toEqual([first, first]);
    expect(first!.list).toBe('host1 host2 host3');
    for (const key of ['a', 'b', 'c']) {
      expect(new Set(fleets.map((fleet) => fleet.rank(key)[0]!.id)).size).toBe(1);
    }
  });

  it('tells of each message to and from its tracker', async () => {
    const { url } = await tracker();
    let messages = 0;
    const one = await node(1, [url], { onMessage: () => messages++ });
    await one.ready();
    const before = messages;
    await one.describe({ archives: one.self.archives });
    expect(messages - before).toBe(2);
  });

  it('goes on when its tracker is killed, and finds the next one', async () => {
    const first = await tracker();
    const [one, two] = await Promise.all([node(1, [first.url]), node(2, [first.url])]);
    await Promise.all([one.ready(), two.ready()]);
    await first.close();
    expect(names(one)).toBe('host1 host2');
    const next = await tracker(first.port);
    const three = await node(3, [next.url]);
    await Promise.all([one, two].map((fleet) => until(fleet, () => fleet.members().length === 3)));
    expect(one.trackers()).toEqual([{ url: first.url, connected: true }]);
    await until(three, () => three.members().length === 3);
    // A newcomer's first list may have a change before the change has its number.
    const views = () => [one, two, three].map(({ view }) => view);
    while (views().some((view) => view !== next.report().view)) await setImmediate();
  });

  it('uses two trackers at once, one of them dead', async () => {
    const { url } = await tracker();
    const [one, two] = await Promise.all([node(1, [nowhere, url]), node(2, [url])]);
    await Promise.all([one.ready(), two.ready()]);
    expect(names(one)).toBe('host1 host2');
    expect(one.trackers().map(({ connected }) => connected)).toEqual([false, true]);
  });

  it('starts from its last list when every tracker is dead', async () => {
    const file = await listFile();
    const { url, close } = await tracker();
    const [one, two] = await Promise.all([node(1, [url], { listFile: file }), node(2, [url])]);
    await Promise.all([one.ready(), two.ready()]);
    await one.close();
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual([memberFixture(2)]);
    await close();
    const started = performance.now();
    const again = await node(1, [url], { listFile: file, deadlineMs: 200 });
    await again.ready();
    expect(performance.now() - started).toBeGreaterThan(150);
    expect(names(again)).toBe('host1 host2');
    expect(again.trackers()[0]!.connected).toBe(false);
  });

  it('asks a member for its list while no tracker answers', async () => {
    const file = await listFile();
    await writeFile(file, JSON.stringify([memberFixture(2), { id: 'garbage' }]));
    const asked: string[] = [];
    const one = await node(1, [nowhere], {
      listFile: file,
      deadlineMs: 10,
      asked: async ({ name }) => {
        asked.push(name);
        return [memberFixture(1), memberFixture(2), memberFixture(3)];
      },
    });
    await until(one, () => one.members().length === 3);
    expect(asked).toEqual(['host2']);
    expect(names(one)).toBe('host1 host2 host3');
  });

  it('blames a member of the last list that is not there', async () => {
    const file = await listFile();
    await writeFile(file, JSON.stringify([memberFixture(2)]));
    const failed = Promise.withResolvers<void>();
    const one = await node(1, [nowhere], {
      listFile: file,
      deadlineMs: 10,
      asked: async () => {
        failed.resolve();
        throw new Error('connect ECONNREFUSED');
      },
    });
    await failed.promise;
    await setImmediate();
    expect(one.blamed(memberFixture(2).id)).toMatchObject({
      fault: 'unreachable',
      detail: 'asked for its members: connect ECONNREFUSED',
    });
    expect(one.rank('k').map(({ name }) => name)).toEqual(['host1', 'host2']);
    expect(one.membersForPeers().map(({ name }) => name)).toEqual(['host1']);
    expect(names(one)).toBe('host1 host2');
  });

  it('names members of a protocol of others, and neither ranks nor asks them', async () => {
    const file = await listFile();
    const far = memberFixture(2, { protocol: 3 });
    await writeFile(file, JSON.stringify([far]));
    const asked: string[] = [];
    const one = await node(1, [nowhere], {
      listFile: file,
      deadlineMs: 10,
      asked: async ({ name }) => {
        asked.push(name);
        return [];
      },
    });
    one.learn(memberFixture(3, { protocol: 3 }));
    one.learn(memberFixture(4, { protocol: 2 }));
    await one.ready();
    while (asked.length === 0) await setImmediate();
    expect(asked).toEqual(['host4']);
    expect(names(one)).toBe('host1 host2 host3 host4');
    const ranked = one.rank('k').map(({ name }) => name);
    expect(ranked.sort()).toEqual(['host1', 'host4']);
    expect(one.blames()).toMatchObject([
      { name: 'host3', fault: 'protocol', detail: 'speaks protocol 3, this node 1' },
    ]);
  });

  it('learns its own address from the tracker, and tells new archives at once', async () => {
    const { url } = await tracker();
    const one = await node(1, [url], { self: memberFixture(1, { address: '' }) });
    const two = await node(2, [url]);
    await Promise.all([one.ready(), two.ready()]);
    expect(one.self.address).toBe('127.0.0.1');
    expect(two.member(one.self.id)!.address).toBe('127.0.0.1');
    await one.describe({ archives: ['archive.ubuntu.com'] });
    await until(two, () => two.member(one.self.id)!.archives.length === 1);
    expect(two.rank('k', { host: 'archive.ubuntu.com' })).toEqual([one.self]);
  });
});
