// One member, or upstream, does something bad in the middle of a large object.
import { afterEach, expect, test } from 'vitest';
import { PIECE_BYTES } from '../../node/limits.ts';
import { type FleetFixture, fleetFixture } from '../fixtures/fleet.ts';

const MB = 1_000_000;
const NODES = 5;
const packages = [{ name: 'bigdata', size: 50 * MB }];

let fleet: FleetFixture;

afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') {
    for (const { daemon } of fleet.hosts) process.stderr.write(`${daemon.log.slice(-4000)}\n`);
  }
  await fleet.close();
});

async function installEverywhere() {
  const all = fleet.hosts.map((_, index) => index);
  await updateEverywhere();
  await Promise.all(all.map(install));
}

async function updateEverywhere() {
  for (const update of await Promise.all(fleet.hosts.map(({ apt }) => apt.update()))) {
    expect(update, update.stderr).toMatchObject({ code: 0 });
  }
}

async function install(index: number) {
  const { apt } = fleet.host(index);
  const download = await apt.download(['bigdata']);
  expect(download, download.stderr).toMatchObject({ code: 0 });
  expect(download.stdout + download.stderr).not.toContain('Hash Sum mismatch');
  expect(await apt.verify(fleet.archive.packages)).toEqual([]);
}

const bigdata = () => fleet.archive.packages[0]!;

async function blamesOf(index: number) {
  const { blames } = await fleet.host(index).daemon.status();
  return blames.map(({ name, fault }) => `${name} ${fault}`);
}

async function blames() {
  return (await Promise.all(fleet.hosts.map((_, index) => blamesOf(index)))).flat();
}

/**
 * One after the other, while upstream gives it in a trickle, they ask for it, and each has some of
 * it before the next one asks. Once the last one has, it flows. `chain`: index of a host, and of
 * the one that it must get it from.
 */
async function installInTurn(
  bytesPerSecond: number,
  chain: readonly (readonly [number, number])[],
) {
  const fault = { kind: 'slow' as const, bytesPerSecond: 0.5 * MB };
  fleet.upstream.faults.add({ path: `/${bigdata().path}`, fault });
  await updateEverywhere();
  const installs: Promise<void>[] = [];
  for (const [asker, source] of chain) {
    installs.push(install(asker));
    await fleet.host(asker).daemon.until(({ flights }) => {
      const flight = flights.find(({ object }) => object === bigdata().sha256);
      if (!flight || flight.bytes === 0) return false;
      expect(flight.source).toBe(`node-${source}`);
      return true;
    });
  }
  fault.bytesPerSecond = bytesPerSecond;
  await Promise.all(installs);
}

const kinds = [
  ['flip', 'corrupt'],
  ['stall', 'stalled'],
  ['close', 'unreachable'],
] as const;

for (const [kind, fault] of kinds) {
  test(`the owner does it (${kind}): apt is well, and the owner is named`, async () => {
    fleet = await fleetFixture({ nodes: NODES, packages });
    const [owner = 0] = await fleet.ranking(bigdata().sha256);
    await fleet.spoil(owner, { outgoing: { kind, piece: 200, times: 1 } });
    await installEverywhere();
    expect(await blames()).toEqual([`node-${owner} ${fault}`]);
    // A silent owner counts as gone: if no other has said by then that it has all of it, the rest
    // is fetched once more.
    const rest = kind === 'stall' ? bigdata().size - 200 * PIECE_BYTES : 0;
    const { bytes } = fleet.upstream.count(`/${bigdata().path}`);
    expect(bytes).toBeGreaterThanOrEqual(bigdata().size);
    expect(bytes).toBeLessThanOrEqual(bigdata().size + rest);
  });

  // Whoever gets nothing may be slow itself: that takes two, see below.
  if (kind === 'stall') continue;
  test(`a relay does it (${kind}): apt is well, and the relay is named`, async () => {
    fleet = await fleetFixture({ nodes: NODES, packages });
    const [owner = 0, relay = 0, other = 0, child = 0] = await fleet.ranking(bigdata().sha256);
    // The child is there before it happens, and nobody else sees it.
    await fleet.spoil(relay, { outgoing: { kind, piece: 300, times: 1 } });
    await installInTurn(10 * MB, [
      [relay, owner],
      [other, owner],
      // The owner gives it to two at once: the third one is fed by the first.
      [child, relay],
    ]);
    expect(await blamesOf(child)).toEqual([`node-${relay} ${fault}`]);
    expect(await blames()).toHaveLength(1);
    expect(fleet.upstream.count(`/${bigdata().path}`).bytes).toBe(bigdata().size);
  });
}

// Both get what there is for some seconds: their own links have shown by then what they can carry.
const piece = Math.ceil((25 * MB) / PIECE_BYTES);

test.each([
  ['a tenth of what it gets', 'slow', { kind: 'slow', piece }],
  ['no more than the beginning', 'stalled', { kind: 'stall', piece, times: 2 }],
] as const)(
  'a relay gives %s: both that it feeds leave, one names it',
  async (_what, fault, outgoing) => {
    fleet = await fleetFixture({ nodes: 6, packages: [{ name: 'bigdata', size: 75 * MB }] });
    const [owner = 0, relay = 0, other = 0, ...rest] = await fleet.ranking(bigdata().sha256);
    const [first = 0, second = 0, third = 0] = rest;
    await fleet.spoil(relay, { outgoing });
    await installInTurn(5 * MB, [
      [relay, owner],
      [other, owner],
      [first, relay],
      [second, other],
      [third, relay],
    ]);
    expect(await blames()).toEqual([`node-${relay} ${fault}`]);
    expect(await fleet.host(relay).daemon.status()).toMatchObject({ blames: [] });
    expect(fleet.upstream.count(`/${bigdata().path}`).bytes).toBe(bigdata().size);
  },
);

test('upstream does it: apt is well after a second fetch, and upstream is named', async () => {
  fleet = await fleetFixture({ nodes: NODES, packages });
  fleet.upstream.faults.add({
    path: `/${bigdata().path}`,
    fault: { kind: 'flip', offset: 25 * MB },
    times: 1,
  });
  await installEverywhere();
  expect(await blames()).toEqual(['upstream corrupt']);
  expect(fleet.upstream.count(`/${bigdata().path}`).requests).toBe(2);
});
