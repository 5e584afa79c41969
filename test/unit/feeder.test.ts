// How long a feeder looks for holders, and what it leaves behind when it is stopped.
import { expect, test } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import type { Discovery } from '../../node/discovery/discovery.ts';
import { HerdError } from '../../node/errors.ts';
import { feederDefaults } from '../../node/fetch/feeder-options.ts';
import { ObjectFeeder } from '../../node/fetch/object-feeder.ts';
import type { ObjectFeederDeps } from '../../node/fetch/object-task.ts';
import { Refusals } from '../../node/fetch/refusals.ts';
import { StaticFleet } from '../../node/fleet/static-fleet.ts';
import { Flight } from '../../node/flight/flight.ts';
import { MiB } from '../../node/limits.ts';
import { LinkRates } from '../../node/links/link-rates.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { systemClock as clock } from '../../node/platform/clock.ts';
import { noGarbage as garbage } from '../../node/platform/garbage.ts';
import { silentLog as log } from '../../node/platform/log.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { Swarms } from '../../node/swarm/swarm.ts';
import type { Peers } from '../../node/transfer/peers.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { memberFixture } from '../fixtures/members.ts';

/** An answer that never comes, but ends with its request. */
function silence(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}

const url = 'http://archive.ubuntu.com/ubuntu/pool/a.deb';

/** A flight of `size` bytes and what feeds it; `ways` stand in for what the fleet would offer. */
async function feederOf(size: number, ways: Partial<ObjectFeederDeps>, options = feederDefaults) {
  const digest = digestOf(`${size} bytes`);
  const deps = { clock, log, pool: new PiecePool(), store: new MemoryStore() };
  const flight = new Flight(deps, { key: digest, digest, size, url });
  await flight.open();
  const upstream = new FakeUpstream(() => ({}));
  const links = new LinkRates({ clock });
  const refusals = new Refusals({ clock }, { windowMs: 30_000 });
  const swarms = new Swarms({ clock });
  const shared = { ...deps, garbage, upstream, links, swarms, refusals };
  const { fleet = new StaticFleet({ clock }, { self: memberFixture(0) }), ...others } = ways;
  const feeder = new ObjectFeeder(
    {
      ...shared,
      fleet,
      peers: undefined,
      counters: new Counters(),
      discovery: undefined,
      ...others,
    },
    flight,
    { digest, url, host: 'archive.ubuntu.com' },
    options,
  );
  return { flight, feeder };
}

test.each([
  ['a small object', 60_000, 19],
  ['a large one', 20 * MiB, 418],
  ['the largest', 4096 * MiB, 1000],
])('%s: the longer its fetch, the longer it is looked for', async (_what, size, deadlineMs) => {
  const deadlines: number[] = [];
  const discovery: Pick<Discovery, 'find'> = {
    async *find(_digest, options) {
      deadlines.push(options.deadlineMs);
      yield* [];
    },
  };
  const { feeder, flight } = await feederOf(size, { discovery: discovery as Discovery });
  await feeder.run();
  expect(flight.error?.code).toBe('NO_SOURCE');
  expect(deadlines.map(Math.round)).toEqual([deadlineMs]);
});

test('stopped while a holder stands in for a slow owner: both are let go of', async () => {
  const members = [1, 2].map((n) => memberFixture(n));
  // Any member but the first in rank, which is asked as the owner, may be the holder.
  const fleet = new StaticFleet({ clock }, { self: memberFixture(0), others: members });
  fleet.rank = () => [members[0]!];
  const asked: AbortSignal[] = [];
  const pulled = Promise.withResolvers<AbortSignal>();
  const peers = {
    want: (_peer, _want, { signal }) => {
      asked.push(signal);
      return silence(signal);
    },
    object: (_peer, _key, _range, { signal }) => {
      pulled.resolve(signal);
      return silence(signal);
    },
  } as Partial<Peers> as Peers;
  const discovery: Pick<Discovery, 'find'> = {
    async *find() {
      yield members[1]!;
    },
  };
  const ways = { fleet, peers, discovery: discovery as Discovery };
  const { feeder, flight } = await feederOf(9, ways, { ...feederDefaults, ownerPatienceMs: 1 });
  const run = feeder.run();
  const pull = await pulled.promise;
  feeder.stop();
  await run;
  expect(flight.error?.code).toBe('SHUTTING_DOWN');
  expect([pull.aborted, ...asked.map(({ aborted }) => aborted)]).toEqual([true, true]);
});

test('whoever takes over asks the owner once, whatever it looks for afterwards', async () => {
  const [owner, other] = [1, 2].map((n) => memberFixture(n));
  // The list has let go of the owner by now.
  const fleet = new StaticFleet({ clock }, { self: memberFixture(0), others: [other!] });
  fleet.rank = (_key, { limit = 2 } = {}) => [owner!, other!].slice(0, limit);
  const asked: string[] = [];
  const peers = {
    want: async ({ id }) => {
      asked.push(`want ${id}`);
      throw new HerdError('SOURCE_STALLED', 'no machine answers');
    },
    object: async ({ id }) => void asked.push(`object ${id}`),
  } as Partial<Peers> as Peers;
  const { feeder } = await feederOf(9, { fleet, peers });
  feeder.lead(true);
  await feeder.run();
  expect(asked).toEqual([`want ${owner!.id}`, `object ${other!.id}`]);
  expect(fleet.blames().map(({ name }) => name)).toEqual([owner!.name]);
});
