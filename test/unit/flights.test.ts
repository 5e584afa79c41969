// What the flights of a node leave behind once they have landed.
import { expect, test } from 'vitest';
import { PIECE_BYTES } from '../../node/limits.ts';
import { type Clock, systemClock } from '../../node/platform/clock.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { herdFixture, objectOf } from '../fixtures/herd.ts';

/** A clock that knows which of its timers of `delayMs` wait still. */
function timersOf(delayMs: number) {
  const waiting = new Set<object>();
  let started = 0;
  const after: Clock['after'] = (ms, fn) => {
    const timer = systemClock.after(ms, fn);
    if (ms !== delayMs) return timer;
    started++;
    const counted = {
      cancel() {
        waiting.delete(counted);
        timer.cancel();
      },
    };
    waiting.add(counted);
    return counted;
  };
  return { clock: { ...systemClock, after }, waiting, started: () => started };
}

test('a client that leaves before the bytes are stored leaves no timer behind', async () => {
  const object = objectOf('l/linger.deb', 300_000);
  const stored = Promise.withResolvers<void>();
  const store = new MemoryStore();
  const open = store.partial.bind(store);
  store.partial = async (key, size) => {
    const partial = await open(key, size);
    const commit = partial.commit.bind(partial);
    partial.commit = async (...whole) => {
      await stored.promise;
      await commit(...whole);
    };
    return partial;
  };
  const upstream = new FakeUpstream(() => ({ body: object.body, size: object.body.length }));
  const { clock, waiting, started } = timersOf(1_000);
  const options = { nodes: 1, objects: [object], upstream, clock, store: () => store };
  const { nodes } = herdFixture(options);
  const { delivery, flights } = nodes[0]!;
  const { signal } = new AbortController();
  const content = await delivery.get({ url: object.url, noCache: false, signal });
  let left = object.body.length;
  for await (const chunk of content.read(0, left, signal)) {
    left -= chunk.length;
    if (left === 0) break;
  }
  content.close();
  expect([started(), waiting.size]).toEqual([1, 1]);
  stored.resolve();
  while (flights.active > 0) await new Promise((resolve) => setImmediate(resolve));
  expect(waiting.size).toBe(0);
});

test('the memory of a small object is used again after its client has left', async () => {
  const object = objectOf('l/small.deb', 3 * PIECE_BYTES);
  const upstream = new FakeUpstream(() => ({ body: object.body, size: object.body.length }));
  const { nodes, get } = herdFixture({ nodes: 1, objects: [object], upstream });
  const { flights, pool } = nodes[0]!;
  const taken = new Set<Buffer>();
  const take = pool.take.bind(pool);
  pool.take = (length) => {
    const slot = take(length);
    taken.add(slot);
    return slot;
  };
  await get(0, object.url);
  while (flights.active > 0) await new Promise((resolve) => setImmediate(resolve));
  // The fourth is that of the piece that would come next.
  expect([taken.size, [...taken].filter((slot) => pool.owns(slot)).length]).toEqual([4, 1]);
});
