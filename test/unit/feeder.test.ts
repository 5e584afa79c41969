// What a feeder leaves behind when it is stopped.
import { expect, test } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { Feeder, feederDefaults } from '../../node/delivery/feeder.ts';
import { Flight } from '../../node/delivery/flight.ts';
import { Swarms } from '../../node/delivery/swarm.ts';
import { StaticFleet } from '../../node/fleet/static-fleet.ts';
import { systemClock as clock } from '../../node/platform/clock.ts';
import { noGarbage as garbage } from '../../node/platform/garbage.ts';
import { silentLog as log } from '../../node/platform/log.ts';
import { Counters } from '../../node/status/counters.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import type { Peers } from '../../node/transfer/peers.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { memberFixture } from '../fixtures/members.ts';

/** An answer that never comes, but ends with its request. */
function silence(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
}

test('stopped while a holder stands in for a slow owner: both are let go of', async () => {
  const body = Buffer.from('a package');
  const key = digestOf(body);
  const url = 'http://archive.ubuntu.com/ubuntu/pool/a.deb';
  const members = [1, 2].map((n) => memberFixture(n));
  // Any member but the first in rank, which is asked as the owner, may be the holder.
  const fleet = new StaticFleet({ clock }, { self: memberFixture(0), others: members });
  fleet.rank = () => [members[0]!];
  const asked: AbortSignal[] = [];
  const pulled = Promise.withResolvers<AbortSignal>();
  const peers = {
    want: (_peer, _want, signal) => {
      asked.push(signal);
      return silence(signal);
    },
    object: (_peer, _key, _range, signal) => {
      pulled.resolve(signal);
      return silence(signal);
    },
  } as Partial<Peers> as Peers;
  const discovery = {
    async *find() {
      yield members[1]!;
    },
  };
  const pool = new PiecePool();
  const deps = { clock, log, pool, store: new MemoryStore() };
  const flight = new Flight(deps, { key, digest: key, size: body.length, url });
  await flight.open();
  const feeder = new Feeder(
    {
      ...deps,
      garbage,
      fleet,
      peers,
      upstream: new FakeUpstream(() => ({})),
      swarms: new Swarms({ clock }),
      counters: new Counters(),
      discovery: discovery as never,
    },
    flight,
    { digest: key, url, host: 'archive.ubuntu.com', hints: [] },
    { ...feederDefaults, ownerPatienceMs: 1 },
  );
  const run = feeder.run();
  const pull = await pulled.promise;
  feeder.stop();
  await run;
  expect(flight.error?.code).toBe('SHUTTING_DOWN');
  expect([pull.aborted, ...asked.map(({ aborted }) => aborted)]).toEqual([true, true]);
});
