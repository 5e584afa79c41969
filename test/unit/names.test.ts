// What a volatile name stands for: how often upstream is asked, and what is said without it.

import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { MemoryCatalog } from '../../node/catalog/memory-catalog.ts';
import { digestOf } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { HerdError } from '../../node/errors.ts';
import { Flights } from '../../node/fetch/flights.ts';
import { StaticFleet } from '../../node/fleet/static-fleet.ts';
import { LinkRates } from '../../node/links/link-rates.ts';
import { Counters } from '../../node/metrics/counters.ts';
import type { Call } from '../../node/metrics/ways.ts';
import { Names } from '../../node/names/names.ts';
import { noGarbage } from '../../node/platform/garbage.ts';
import { silentLog } from '../../node/platform/log.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { Swarms } from '../../node/swarm/swarm.ts';
import type { NameAnswer, NameQuery, Peers } from '../../node/transfer/peers.ts';
import { type FakeAnswer, FakeUpstream } from '../fixtures/fake-upstream.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';

const url = 'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease';
const other = 'http://archive.ubuntu.com/ubuntu/dists/noble-updates/InRelease';
const body = Buffer.from('Origin: Ubuntu\n');
const good: FakeAnswer = { body, size: body.length, etag: '"1"' };
const unreachable = () => new HerdError('UPSTREAM_UNREACHABLE', 'no route to host');

interface Setup {
  readonly others?: number;
  readonly ask?: (n: number, query: NameQuery, signal: AbortSignal) => Promise<NameAnswer>;
}

function setup(first: FakeAnswer | (() => FakeAnswer | Promise<FakeAnswer>), options: Setup = {}) {
  const { others = 0, ask } = options;
  const clock = new ManualClock();
  const members = Array.from({ length: others }, (_, n) => memberFixture(n + 1));
  const fleet = new StaticFleet({ clock }, { self: memberFixture(0), others: members });
  const state = { answer: first };
  const upstream = new FakeUpstream(() =>
    typeof state.answer === 'function' ? state.answer() : state.answer,
  );
  const counters = new Counters();
  const store = new MemoryStore();
  const catalog = new MemoryCatalog();
  const asked: string[] = [];
  const peers = {
    name: async (peer: { name: string }, query: NameQuery, { signal }: Call) => {
      asked.push(peer.name);
      return await ask!(asked.length, query, signal);
    },
  } as unknown as Peers;
  const pool = new PiecePool();
  const base = {
    garbage: noGarbage,
    pool,
    fleet,
    upstream,
    counters,
    clock,
    log: silentLog,
    store,
  };
  const flights = new Flights(
    {
      ...base,
      peers: undefined,
      discovery: undefined,
      swarms: new Swarms({ clock }),
      links: new LinkRates({ clock }),
    },
    { freshnessMs: 30_000 },
  );
  const names = new Names(
    { ...base, catalog, flights, peers: ask ? peers : undefined },
    { freshnessMs: 30_000 },
  );
  const later = async (ms: number) => {
    for (let n = 0; n < 20; n++) await turn();
    clock.advance(ms);
    for (let n = 0; n < 20; n++) await turn();
  };
  const around = { clock, fleet, upstream, flights, catalog, store, members, counters };
  return { ...around, names, state, asked, later };
}

describe('the owner of a name', () => {
  test('asks upstream once for all who ask at once, and once per freshness window', async () => {
    const { names, upstream, clock } = setup(good);
    const all = await Promise.all(Array.from({ length: 60 }, () => names.answer(url, false)));
    expect(new Set(all.map((each) => JSON.stringify(each))).size).toBe(1);
    expect(all[0]).toMatchObject({ kind: 'resolved', stale: false, ageMs: 0 });
    clock.advance(29_999);
    expect(await names.answer(url, false)).toMatchObject({ ageMs: 29_999 });
    expect(upstream.requests.length).toBe(1);
    clock.advance(1);
    expect(await names.answer(url, false)).toMatchObject({ ageMs: 0 });
    expect(upstream.requests.length).toBe(2);
    expect(upstream.requests[1]).toMatchObject({ ifNoneMatch: '"1"' });
    expect(upstream.open).toBe(0);
  });

  test('no-cache shortens the window', async () => {
    const { names, upstream } = setup(good);
    await names.resolve(url, false);
    await names.resolve(url, true);
    await names.answer(url, true);
    expect(upstream.requests.length).toBe(3);
  });

  test('304 confirms what was known, 404 is remembered', async () => {
    const { names, upstream, state, clock } = setup(good);
    await names.resolve(url, false);
    state.answer = { status: 304 };
    clock.advance(30_000);
    const confirmed = await names.resolve(url, false);
    expect(confirmed).toMatchObject({ resolution: { digest: digestOf(body) }, stale: false });
    state.answer = { status: 404 };
    await names.resolve(other, false);
    expect(await names.resolve(other, false)).toMatchObject({ resolution: { status: 404 } });
    expect(upstream.requests.length).toBe(3);
  });

  test('an unreachable upstream: the last answer, marked; without one, the error', async () => {
    const { names, state, clock } = setup(good);
    await names.resolve(url, false);
    state.answer = () => Promise.reject(unreachable());
    clock.advance(40_000);
    expect(await names.resolve(url, false)).toMatchObject({ stale: true, ageMs: 40_000 });
    await expect(names.resolve(other, false)).rejects.toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
    });
    expect(await names.answer(other, false)).toMatchObject({ kind: 'failed' });
    state.answer = good;
    clock.advance(10_000);
    expect(await names.resolve(url, false)).toMatchObject({ stale: false, ageMs: 0 });
  });

  test('an upstream that does not answer is asked once, however many ask meanwhile', async () => {
    const { names, upstream, state, clock, later } = setup(good);
    await names.resolve(url, false);
    clock.advance(30_000);
    let release = () => {};
    state.answer = () => new Promise((resolve) => (release = () => resolve({ status: 304 })));
    for (let n = 0; n < 4; n++) {
      const answer = names.resolve(url, false);
      await later(5_000);
      expect(await answer).toMatchObject({ stale: true });
    }
    expect(upstream.requests.length).toBe(2);
    release();
    await later(0);
    expect(await names.resolve(url, false)).toMatchObject({ stale: false });
    expect(upstream.requests.length).toBe(2);
  });

  test('a host that was down is not waited for, one that refused a file is', async () => {
    const { names, state, clock, later } = setup(good);
    await names.resolve(url, false);
    await names.resolve(other, false);
    clock.advance(30_000);
    state.answer = { status: 403 };
    expect(await names.resolve(other, false)).toMatchObject({ stale: true });
    const { promise, resolve } = Promise.withResolvers<FakeAnswer>();
    state.answer = () => promise;
    const waited = names.resolve(url, false);
    await later(100);
    resolve({ status: 304 });
    expect(await waited).toMatchObject({ stale: false });
    clock.advance(30_000);
    state.answer = () => Promise.reject(unreachable());
    await names.resolve(url, false);
    state.answer = () => new Promise(() => {});
    const atOnce = names.resolve(other, false);
    await later(1);
    expect(await atOnce).toMatchObject({ stale: true });
  });

  test('a web page instead of an index is refused, and its connection freed', async () => {
    const { names, upstream } = setup({ ...good, contentType: 'text/html; charset=utf-8' });
    await expect(names.resolve(url, false)).rejects.toThrow('captive portal');
    expect(upstream.open).toBe(0);
  });

  test('a file that has no place to go frees its connection', async () => {
    const { names, upstream, flights } = setup(good);
    flights.launch = () => Promise.reject(new Error('no memory'));
    await expect(names.resolve(url, false)).rejects.toThrow('no memory');
    expect(upstream.open).toBe(0);
  });

  test('a shutdown while a file comes in: no answer, and no error of upstream', async () => {
    const begun = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const pace = () => {
      begun.resolve();
      return held.promise;
    };
    const { names, upstream, flights, counters } = setup({ ...good, pace });
    const answer = names.resolve(url, false);
    await begun.promise;
    await flights.close();
    held.resolve();
    await expect(answer).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    expect([upstream.open, counters.get('upstream.errors')]).toEqual([0, 0]);
  });

  test('a peer is told to ask again after two seconds', async () => {
    const { names, later, upstream } = setup(() => new Promise(() => {}));
    const answer = names.answer(url, false);
    await later(2_000);
    expect(await answer).toEqual({ kind: 'pending' });
    void names.answer(url, false);
    await later(0);
    expect(upstream.requests.length).toBe(1);
  });

  test('a large file streams; whoever asks meanwhile gets the same stream', async () => {
    let go = () => {};
    const held = new Promise<void>((resolve) => (go = resolve));
    const { names, upstream, later, flights } = setup({ ...good, pace: () => held });
    const first = names.answer(url, false);
    await later(500);
    const streaming = await first;
    expect(streaming).toMatchObject({ kind: 'streaming' });
    expect(await names.answer(url, false)).toEqual(streaming);
    expect(await names.resolve(url, true)).toMatchObject({ kind: 'streaming' });
    expect(upstream.requests.length).toBe(1);
    go();
    await later(0);
    expect(await names.answer(url, false)).toMatchObject({ kind: 'resolved' });
    expect(upstream.requests.length).toBe(1);
    expect(flights.report()).toEqual([]);
  });

  test('a new version that comes late is brought whole, though nobody waited', async () => {
    const { names, upstream, state, clock, later, flights } = setup(good);
    await names.resolve(url, false);
    clock.advance(30_000);
    const head = Promise.withResolvers<void>();
    const rest = Promise.withResolvers<void>();
    const newer = { ...good, body: Buffer.from('Origin: Debian\n'), etag: '"2"' };
    state.answer = async () => {
      await head.promise;
      return { ...newer, pace: () => rest.promise };
    };
    const late = names.resolve(url, false);
    await later(5_000);
    expect(await late).toMatchObject({ stale: true });
    head.resolve();
    await later(500);
    await later(10_000);
    expect(flights.active).toBe(1);
    rest.resolve();
    await later(0);
    const digest = digestOf(newer.body);
    expect(await names.resolve(url, false)).toMatchObject({ resolution: { digest } });
    expect(upstream.requests.length).toBe(2);
  });

  test('takes over what a former owner knows, and survives a catalog that fails', async () => {
    const { names, upstream, catalog, members, clock } = setup(good, { others: 1 });
    catalog.remember = () => Promise.reject(new Error('disk gone'));
    const resolution = { status: 200, digest: digestOf(body), size: 15, checkedAtMs: 1 };
    names.claim(members[0]!, { url, resolution, ageMs: 1_000 });
    names.claim(members[0]!, { url, resolution: { status: 404, checkedAtMs: 1 }, ageMs: 2_000 });
    await turn();
    expect(await names.answer(url, false)).toMatchObject({ resolution, ageMs: 1_000 });
    expect([...names.asked()]).toEqual([]);
    clock.advance(30_000);
    expect(await names.answer(url, false)).toMatchObject({ kind: 'resolved', ageMs: 0 });
    expect([...names.asked()].map((each) => each.url)).toEqual([url]);
    expect(upstream.requests.length).toBe(1);
  });
});

test('a catalog that cannot be read is as good as an empty one', async () => {
  const { names, catalog } = setup(good);
  catalog.resolution = () => Promise.reject(new Error('disk gone'));
  expect(await names.resolve(url, false)).toMatchObject({ resolution: { status: 200 } });
});

describe('another member', () => {
  /** A name that is owned by somebody else. */
  const foreign = (fleet: StaticFleet) => {
    for (let n = 0; ; n++) {
      const name = `${url}?${n}`;
      if (fleet.rank(name).at(-1)!.id === fleet.self.id) return name;
    }
  };
  const resolution = { status: 200, digest: digestOf(body), size: 15, checkedAtMs: 1 };

  test('asks the owner, once for all its clients, and again while it has no answer', async () => {
    const { names, fleet, upstream, asked } = setup(good, {
      others: 2,
      ask: async (n) =>
        n < 3 ? { kind: 'pending' } : { kind: 'resolved', resolution, ageMs: 5, stale: false },
    });
    const name = foreign(fleet);
    const all = await Promise.all([names.resolve(name, false), names.resolve(name, false)]);
    expect(all[0]).toMatchObject({ ageMs: 5, holder: { name: asked[0] } });
    expect(asked.length).toBe(3);
    expect(upstream.requests.length).toBe(0);
  });

  test('with no-cache does not join an ask that was made without it', async () => {
    const first = Promise.withResolvers<NameAnswer>();
    const queries: boolean[] = [];
    const { names, fleet } = setup(good, {
      others: 2,
      ask: async (n, { noCache }) => {
        queries.push(noCache);
        return n === 1 ? await first.promise : { ...answer, ageMs: 0 };
      },
    });
    const answer = { kind: 'resolved', resolution, ageMs: 5, stale: false } as const;
    const name = foreign(fleet);
    const known = names.resolve(name, false);
    await turn();
    expect(await names.resolve(name, true)).toMatchObject({ ageMs: 0 });
    first.resolve(answer);
    expect(await known).toMatchObject({ ageMs: 5 });
    expect(queries).toEqual([false, true]);
  });

  test('asks the next in rank when the owner is silent, then upstream', async () => {
    const { names, fleet, upstream, asked } = setup(good, {
      others: 2,
      ask: async () => {
        throw new HerdError('SOURCE_FAILED', 'refused');
      },
    });
    expect(await names.resolve(foreign(fleet), false)).toMatchObject({ kind: 'resolved' });
    expect(new Set(asked).size).toBe(2);
    expect(fleet.blames().length).toBe(2);
    expect(upstream.requests.length).toBe(1);
  });

  test('an owner that never has an answer: no second owner is made to ask upstream', async () => {
    const { names, fleet, asked, clock } = setup(good, {
      others: 2,
      ask: async () => {
        clock.advance(2_000);
        return { kind: 'pending' };
      },
    });
    await names.resolve(foreign(fleet), false);
    expect(new Set(asked).size).toBe(1);
    expect(fleet.blames()).toEqual([]);
  });

  test('an owner that hangs is waited for so long, and not by one call for ever', async () => {
    const hang = (signal: AbortSignal) =>
      new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal)));
    const silent = setup(good, { others: 1, ask: (_n, _query, signal) => hang(signal) });
    const answer = silent.names.resolve(foreign(silent.fleet), false);
    await silent.later(25_000);
    expect(await answer).toMatchObject({ kind: 'resolved' });
    expect(silent.fleet.blames().length).toBe(1);
    const waiting = setup(good, {
      others: 1,
      ask: async (n, _query, signal) => (n < 3 ? { kind: 'pending' } : await hang(signal)),
    });
    const late = waiting.names.resolve(foreign(waiting.fleet), false);
    await waiting.later(25_000);
    expect(await late).toMatchObject({ kind: 'resolved' });
    expect(waiting.fleet.blames()).toEqual([]);
  });

  describe('a node that has just started', () => {
    /** A name that this node owns from now on. */
    const own = (fleet: StaticFleet) => {
      for (let n = 0; ; n++) {
        const name = `${url}?${n}`;
        if (fleet.rank(name)[0]!.id === fleet.self.id) return name;
      }
    };

    test('asks the owner before it, and takes over what that one is being told', async () => {
      const { names, fleet, upstream, asked, later } = setup(good, {
        others: 2,
        ask: async (n, { onlyKnown }) => {
          expect(onlyKnown).toBe(true);
          if (n === 1) return { kind: 'streaming', key: 'name-1' };
          return { kind: 'resolved', resolution, ageMs: 5, stale: false };
        },
      });
      const name = own(fleet);
      const answer = names.answer(name, false);
      await later(100);
      expect(await answer).toMatchObject({ kind: 'resolved', resolution, ageMs: 5 });
      expect(new Set(asked)).toEqual(new Set([fleet.rank(name)[1]!.name]));
      expect(upstream.requests).toEqual([]);
    });

    test('asks the next one too, where several have started at one moment', async () => {
      const { names, fleet, upstream, asked } = setup(good, {
        others: 2,
        ask: async (n) =>
          n === 1 ? { kind: 'unknown' } : { kind: 'resolved', resolution, ageMs: 5, stale: false },
      });
      const name = own(fleet);
      expect(await names.answer(name, false)).toMatchObject({ kind: 'resolved', resolution });
      const ranked = fleet.rank(name).map((member) => member.name);
      expect(asked).toEqual(ranked.slice(1));
      expect(upstream.requests).toEqual([]);
    });

    test('waits for both of them together, and blames nobody who waits for upstream', async () => {
      const { names, fleet, upstream, asked, later } = setup(good, {
        others: 2,
        ask: async (n, _query, signal) =>
          n === 1
            ? { kind: 'pending' }
            : await new Promise((_, reject) => signal.addEventListener('abort', reject)),
      });
      const name = own(fleet);
      const answer = names.resolve(name, false);
      await later(100);
      await later(2_900);
      expect(await answer).toMatchObject({ kind: 'resolved' });
      expect(asked).toEqual(Array(2).fill(fleet.rank(name)[1]!.name));
      expect(fleet.blames()).toEqual([]);
      expect(upstream.requests.length).toBe(1);
    });

    test('goes upstream when they know nothing, and asks them no more later on', async () => {
      const { names, fleet, upstream, asked, clock } = setup(good, {
        others: 2,
        ask: async () => ({ kind: 'unknown' }),
      });
      const name = own(fleet);
      expect(await names.answer(name, false)).toMatchObject({ kind: 'resolved' });
      expect([asked.length, upstream.requests.length]).toEqual([2, 1]);
      clock.advance(30_000);
      expect(await names.answer(name, false)).toMatchObject({ kind: 'resolved' });
      expect([asked.length, upstream.requests.length]).toEqual([2, 2]);
    });

    test('what upstream still owes is not asked for again when it comes meanwhile', async () => {
      const { promise: heard, resolve: tell } = Promise.withResolvers<NameAnswer>();
      const { promise: owed, resolve: come } = Promise.withResolvers<FakeAnswer>();
      const { names, fleet, upstream, catalog, later } = setup(() => owed, {
        others: 1,
        ask: async (n) => (n === 1 ? { kind: 'unknown' } : await heard),
      });
      const name = own(fleet);
      await catalog.remember(name, resolution);
      const first = names.resolve(name, false);
      await later(5_000);
      expect(await first).toMatchObject({ stale: true });
      const second = names.resolve(name, false);
      await later(0);
      come({ ...good, pace: () => new Promise(() => {}) });
      await later(500);
      tell({ kind: 'unknown' });
      await later(500);
      expect(await second).toMatchObject({ kind: 'streaming' });
      expect(upstream.requests.length).toBe(1);
    });

    test('is told what is known, and what upstream is telling', async () => {
      const { promise, resolve } = Promise.withResolvers<FakeAnswer>();
      const { names, upstream } = setup(() => promise);
      expect(await names.known(url)).toEqual({ kind: 'unknown' });
      expect(upstream.requests).toEqual([]);
      const first = names.answer(url, false);
      await turn();
      const second = names.known(url);
      resolve(good);
      expect(await second).toMatchObject({ kind: 'resolved' });
      expect(await names.known(url)).toEqual(await first);
      expect(upstream.requests.length).toBe(1);
    });
  });
});
