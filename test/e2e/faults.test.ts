// One member, or upstream, does something bad in the middle of a large object.
import { afterEach, expect, test } from 'vitest';
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
  const apts = fleet.hosts.map(({ apt }) => apt);
  for (const update of await Promise.all(apts.map((apt) => apt.update()))) {
    expect(update, update.stderr).toMatchObject({ code: 0 });
  }
  for (const download of await Promise.all(apts.map((apt) => apt.download(['bigdata'])))) {
    expect(download, download.stderr).toMatchObject({ code: 0 });
    expect(download.stdout + download.stderr).not.toContain('Hash Sum mismatch');
  }
  for (const apt of apts) expect(await apt.verify(fleet.archive.packages)).toEqual([]);
}

const bigdata = () => fleet.archive.packages[0]!;

async function blames() {
  const reports = await Promise.all(fleet.hosts.map(({ daemon }) => daemon.status()));
  const all = reports.flatMap((report) =>
    report.blames.map(({ name, fault }) => `${name} ${fault}`),
  );
  // On a loaded machine anybody may be slow for a moment; a stall may be told as slowness.
  const told = all.filter((blame) => !blame.endsWith(' slow'));
  return told.length > 0 ? told : all;
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
    expect(fleet.upstream.count(`/${bigdata().path}`).bytes).toBe(bigdata().size);
  });

  test(`a relay does it (${kind}): apt is well, and the relay is named`, async () => {
    fleet = await fleetFixture({ nodes: NODES, packages });
    const [owner = 0, ...relays] = await fleet.ranking(bigdata().sha256);
    // So slow that all want it before the first one has it.
    fleet.upstream.faults.add({
      path: `/${bigdata().path}`,
      fault: { kind: 'slow', bytesPerSecond: 10 * MB },
    });
    for (const relay of relays) {
      await fleet.spoil(relay, { outgoing: { kind, piece: 200, times: 1 } });
    }
    await installEverywhere();
    const named = await blames();
    expect(named.length).toBeGreaterThan(0);
    // The owner may see that a relay gives nothing before its child takes it for dead.
    const faults = kind === 'stall' ? '(stalled|slow)' : fault;
    for (const blame of named) expect(blame).toMatch(new RegExp(`^node-[0-4] ${faults}$`));
    expect(named.join()).not.toContain(`node-${owner} `);
    expect(fleet.upstream.count(`/${bigdata().path}`).bytes).toBe(bigdata().size);
  });
}

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
