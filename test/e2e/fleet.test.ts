// Three daemons, real apt, a signed archive: what upstream is asked for, and what is not.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FleetFixture, fleetFixture } from '../fixtures/fleet.ts';

const packages = [
  { name: 'tool', version: '1:2.0~rc1+dfsg-1', size: 5_000, depends: 'libtool++, bigdata' },
  { name: 'libtool++', size: 400_000 },
  { name: 'bigdata', size: 20_000_000 },
];

let fleet: FleetFixture;

beforeEach(async () => {
  fleet = await fleetFixture({ packages });
}, 60_000);

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') {
    for (const { daemon } of fleet.hosts) process.stderr.write(`${daemon.log.slice(-4000)}\n`);
  }
  await fleet.close();
});

/** Every file of the archive came over the WAN once, and whole. */
function expectOnce() {
  for (const { path, size } of fleet.archive.packages) {
    expect.soft(fleet.upstream.count(`/${path}`), path).toMatchObject({ requests: 1, bytes: size });
  }
  expect.soft(fleet.upstream.count(fleet.archive.distPath('InRelease')).requests).toBe(1);
}

async function installOn(index: number) {
  const { apt } = fleet.host(index);
  expect(await apt.update()).toMatchObject({ code: 0 });
  expect(await apt.download(['tool'])).toMatchObject({ code: 0 });
  expect(await apt.verify(fleet.archive.packages)).toEqual([]);
}

test('one after the other: each object once from upstream, the rest from the fleet', async () => {
  for (const index of [0, 1, 2]) await installOn(index);
  expectOnce();
  expect(await fleet.count('received.bytes.upstream.unelected')).toBe(0);
  expect(await fleet.count('received.bytes.peer')).toBeGreaterThan(2 * 20_000_000);
});

test('all at once, cold: still once', async () => {
  await Promise.all([0, 1, 2].map(installOn));
  expectOnce();
  expect(await fleet.count('received.bytes.upstream.unelected')).toBe(0);
});
