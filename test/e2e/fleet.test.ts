// Three daemons, real apt, a signed archive: what upstream is asked for, and what is not.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { tinyPackages } from '../fixtures/archive.ts';
import { type FleetFixture, type FleetOptions, fleetFixture } from '../fixtures/fleet.ts';

const MB = 1_000_000;
const packages = [
  { name: 'tool', version: '1:2.0~rc1+dfsg-1', size: 5_000, depends: 'libtool++, bigdata' },
  { name: 'libtool++', size: 400_000 },
  { name: 'bigdata', size: 20 * MB },
];

let fleet: FleetFixture;

async function open(options: FleetOptions = {}): Promise<void> {
  fleet = await fleetFixture({ packages, ...options });
}

beforeEach(() => {
  fleet = undefined as never;
});

afterEach(async ({ task }) => {
  if (!fleet) return;
  if (task.result?.state === 'fail') {
    for (const { daemon } of fleet.hosts) process.stderr.write(`${daemon.log.slice(-4000)}\n`);
  }
  await fleet.close();
});

const named = (name: string) => fleet.archive.packages.find((each) => each.name === name)!;

/** Every file of the archive came over the WAN once, and whole. */
function expectOnce(names?: readonly string[]) {
  for (const { name, path, size } of fleet.archive.packages) {
    if (names && !names.includes(name)) continue;
    expect.soft(fleet.upstream.count(`/${path}`), path).toMatchObject({ requests: 1, bytes: size });
  }
}

async function install(index: number, names: readonly string[] = ['tool']) {
  const { apt } = fleet.host(index);
  const update = await apt.update();
  expect(update, update.stderr).toMatchObject({ code: 0 });
  const download = await apt.download(names);
  expect(download, download.stderr).toMatchObject({ code: 0 });
  expect(download.stdout + download.stderr).not.toContain('Hash Sum mismatch');
  expect(await apt.verify(packagesOf(names))).toEqual([]);
}

const packagesOf = (names: readonly string[]) =>
  names.includes('tool')
    ? fleet.archive.packages
    : fleet.archive.packages.filter(({ name }) => names.includes(name));

const slowly = (bytesPerSecond: number) =>
  fleet.upstream.faults.add({
    path: `/${named('bigdata').path}`,
    fault: { kind: 'slow', bytesPerSecond },
  });

/** Resolves to the index of the host that fetches bigdata, once it has some of it. */
async function fetcher(): Promise<number> {
  const { sha256 } = named('bigdata');
  for (;;) {
    for (const [index, { daemon }] of fleet.hosts.entries()) {
      const { flights } = await daemon.status();
      const flight = flights.find(({ object }) => object === sha256);
      if (flight?.source === 'upstream' && flight.bytes > 4 * MB) return index;
    }
    await sleep(20);
  }
}

test('one after the other: each object once from upstream, the rest from the fleet', async () => {
  await open();
  for (const index of [0, 1, 2]) await install(index);
  expectOnce();
  expect(fleet.upstream.count(fleet.archive.distPath('InRelease')).requests).toBe(1);
  expect(await fleet.count('received.bytes.upstream.unelected')).toBe(0);
  expect(await fleet.count('received.bytes.peer')).toBeGreaterThan(2 * 20 * MB);
});

test('three daemons started at one moment and asked at once: still once', async () => {
  await open({ start: false });
  await Promise.all(
    [0, 1, 2].map(async (index) => {
      await fleet.host(index).daemon.start();
      await install(index);
    }),
  );
  expectOnce();
  expect(fleet.upstream.count(fleet.archive.distPath('InRelease')).requests).toBe(1);
  expect(await fleet.count('received.bytes.upstream.unelected')).toBe(0);
});

test('one after the other: the one that asked upstream holds the copy to keep', async () => {
  await open();
  for (let index = 0; index < 3; index++) await install(index, ['libtool++']);
  const { sha256 } = named('libtool++');
  const [owner] = await fleet.ranking(sha256);
  await Promise.all(fleet.hosts.map(({ daemon }) => daemon.kill()));
  const keepers: number[] = [];
  for (let index = 0; index < 3; index++) {
    const path = join(fleet.dir, `node-${index}`, 'store.index');
    const lines = (await readFile(path, 'latin1')).split('\n');
    const line = lines.find((each) => each.startsWith(`+ ${sha256} `));
    expect(line).toMatch(/ [SW]( E)?$/);
    if (!line?.endsWith(' E')) keepers.push(index);
  }
  expect(keepers).toEqual([owner]);
});

test('the owner killed in mid-file: all finish, and little comes over the WAN twice', async () => {
  await open();
  slowly(10 * MB);
  const { sha256, size } = named('bigdata');
  const [owner = 0] = await fleet.ranking(sha256);
  const others = [0, 1, 2].filter((index) => index !== owner);
  const installs = Promise.all(others.map((index) => install(index)));
  expect(await fetcher()).toBe(owner);
  await fleet.host(owner).daemon.kill('SIGKILL');
  await installs;
  const { bytes } = fleet.upstream.count(`/${named('bigdata').path}`);
  expect(bytes).toBeLessThan(1.05 * size);
  expect(await fleet.count('flights.takeovers')).toBe(1);
});

test('the tracker killed, then a node restarted: all finish', async () => {
  await open();
  await install(1);
  await fleet.host(0).daemon.kill('SIGKILL');
  await fleet.host(2).daemon.restart();
  await install(2);
  // What the dead node was the only holder of had to come a second time, nothing else.
  expect(await fleet.count('received.bytes.peer')).toBeGreaterThan(0);
});

test('no DHT: all finish, still once', async () => {
  await open({ faults: () => ({ discovery: 'none' }) });
  await Promise.all([0, 1, 2].map((index) => install(index)));
  expectOnce();
});

test.each(['refuse', 'hang'] as const)('all blocked but upstream (%s): all finish', async (how) => {
  await open({ faults: () => ({ discovery: 'none', peers: how }) });
  await Promise.all([0, 1, 2].map((index) => install(index)));
  expect(fleet.upstream.count(`/${named('tool').path}`).requests).toBe(3);
});

test('a holder that no owner knows of is found through the DHT', async () => {
  const many = tinyPackages(20);
  const names = many.map(({ name }) => name);
  await open({ packages: many, start: false });
  await fleet.host(0).daemon.start();
  await install(0, names);
  await fleet.host(1).daemon.start();
  await fleet.host(2).daemon.start();
  await fleet.complete();
  await fleet
    .host(0)
    .daemon.until(
      ({ counters, objects }) => objects > 20 && counters['dht.announced'] >= objects,
      60_000,
    );
  fleet.upstream.reset();
  fleet.upstream.faults.add({ path: '/pool/*', fault: { kind: 'refuse' } });
  await install(1, names);
  expect(fleet.upstream.total((path) => path.startsWith('/pool/'))).toEqual({
    requests: 0,
    bytes: 0,
  });
  expect(await fleet.count('named.by.dht')).toBeGreaterThan(0);
});

test('over 1,000 small objects the elected fetches are spread evenly', async () => {
  const many = tinyPackages(1000);
  await open({ packages: many });
  await install(
    1,
    many.map(({ name }) => name),
  );
  const reports = await Promise.all(fleet.hosts.map(({ daemon }) => daemon.status()));
  const fetches = reports.map(({ counters }) => counters['upstream.requests.elected']);
  const mean = fetches.reduce((sum, each) => sum + each, 0) / fetches.length;
  expect(mean).toBeGreaterThan(333);
  expect(Math.max(...fetches)).toBeLessThanOrEqual(2 * mean);
  expectOnce();
});
