// How requests were answered: what is told, what is left out, and that memory has a bound.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { type Step, Ways, type WaysOptions, wayIdOf } from '../../node/metrics/ways.ts';
import { seededRandom } from '../../node/platform/random.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const url = 'http://archive.ubuntu.com/ubuntu/pool/main/h/hello/hello_2.10-3_amd64.deb';
const digest = 'd'.repeat(64);
const stored: Step = { what: 'stored', digest: 'a', size: 1 };
const taken = { what: 'source', from: 'upstream', kind: 'upstream', bytes: 0, tookMs: 1 } as const;
const verdict: Step = { what: 'verdict', status: 200, bytes: 5 };

function fixture(options: Partial<WaysOptions> = {}, seed = 1) {
  const clock = new ManualClock();
  const ways = new Ways({ clock, random: seededRandom(seed) }, options);
  const urls = () => ways.find({}, Infinity).map((way) => way.url);
  return { clock, ways, urls };
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const stepsOf = (ways: Ways) => ways.find({}, Infinity).flatMap(({ steps }) => steps);

describe('a way', () => {
  test('tells who asked, when, and each step with its time since then', () => {
    const { clock, ways } = fixture();
    // By the wall clock that holds when it is told.
    const startedAtMs = clock.nowMs() - 60_000;
    const trace = ways.begin('apt', url);
    clock.advance(3.14);
    trace.note({ what: 'name', as: 'fixed', digest, size: 5 });
    // The wall clock is set: times since the start do not jump.
    clock.setWall(-60_000);
    clock.advance(7);
    trace.note(verdict);
    const steps = [
      { what: 'name', as: 'fixed', digest, size: 5, atMs: 3.1 },
      { ...verdict, atMs: 10.1 },
    ];
    expect(ways.find()).toEqual([{ id: trace.id, from: 'apt', url, startedAtMs, steps, more: 0 }]);
  });

  test('a hit is one record, found like any other', () => {
    const { clock, ways } = fixture();
    const startedAtMs = clock.nowMs();
    ways.hit(`${url}?token=1`, digest, 5, 206);
    const steps = [
      { what: 'stored', digest, size: 5, atMs: 0 },
      { what: 'verdict', status: 206, atMs: 0 },
    ];
    const [way] = ways.find({ digest });
    expect(way).toMatchObject({ from: 'apt', url, startedAtMs, steps, more: 0 });
    expect(ways.find({ url, id: way!.id })).toEqual([way]);
  });

  test('keeps 48 steps, counts the others, and always tells the verdict', () => {
    const { ways } = fixture();
    const trace = ways.begin('apt', url);
    for (let n = 0; n < 60; n++) trace.note({ what: 'owner', member: `host${n}`, rank: n });
    trace.note(verdict);
    const [way] = ways.find();
    expect(way).toMatchObject({ more: 12 });
    expect(way!.steps).toHaveLength(49);
    expect(way!.steps.at(-2)).toMatchObject({ rank: 47 });
    expect(way!.steps.at(-1)).toMatchObject(verdict);
  });

  test('a report stands while the way goes on', () => {
    const { ways } = fixture();
    const trace = ways.begin('apt', url);
    const [before] = ways.find();
    trace.note(verdict);
    expect(before!.steps).toEqual([]);
  });
});

describe('what is left out', () => {
  test.each(['apt', 'peer'] as const)('the query of a URL that %s asks for', (from) => {
    const { ways } = fixture();
    ways.begin(from, `${url}?token=secret`);
    ways.begin(from, `${'n'.repeat(290)}?token=secret`);
    expect(ways.find().map((way) => way.url)).toEqual(['n'.repeat(290), url]);
  });

  test('the query of a URL in a text', () => {
    const { ways } = fixture();
    const trace = ways.begin('apt', url);
    const text = `upstream answered 404 for ${url}?token=secret, twice`;
    trace.note({ what: 'asked', member: 'host1', said: text, tookMs: 1 });
    trace.note({ ...taken, end: text });
    trace.note({ what: 'verdict', status: 404, reason: text });
    expect(JSON.stringify(ways.find())).not.toContain('secret');
    expect(stepsOf(ways).at(-1)).toMatchObject({
      reason: `upstream answered 404 for ${url} twice`,
    });
  });

  test('the end of a long URL, which is still found by the whole of it', () => {
    const { ways } = fixture();
    const long = `http://archive.ubuntu.com/${'a'.repeat(5_000)}`;
    ways.begin('apt', long);
    const [way] = ways.find({ url: long });
    expect(way!.url).toBe(`${long.slice(0, 299)}…`);
  });

  const long = 'x'.repeat(5_000);
  const told: Step[] = [
    { what: 'resolved', by: long, status: 200, ageMs: 0, stale: false },
    { what: 'streaming', at: long },
    { what: 'owner', member: long, rank: 0 },
    { what: 'asked', member: long, said: long, tookMs: 1 },
    { what: 'dht', holder: long, tookMs: 1 },
    { what: 'upstream', host: long, status: 200, tookMs: 1 },
    { what: 'source', from: long, kind: 'member', bytes: 1, tookMs: 1, end: long },
    { what: 'verdict', status: long, reason: long },
  ];
  test.each(told)('the end of a long text: $what', (step) => {
    const { ways } = fixture();
    ways.begin('apt', url).note(step);
    const [kept] = stepsOf(ways);
    const lengths = Object.values(kept!).map((value) => String(value).length);
    expect(Math.max(...lengths)).toBe(160);
  });
});

describe('the ring', () => {
  test('holds so many ways, and the oldest goes', () => {
    const { ways, urls } = fixture({ waysMax: 3 });
    for (let n = 0; n < 8; n++) {
      ways.begin('apt', `u${n}`);
      expect(urls()).toEqual([`u${n}`, `u${n - 1}`, `u${n - 2}`].slice(0, n + 1));
    }
  });

  test('holds so many steps of all ways together', () => {
    const { ways, urls } = fixture({ stepsMax: 10 });
    for (let n = 0; n < 9; n++) {
      const trace = ways.begin('apt', `u${n}`);
      for (let step = 0; step < 4; step++) trace.note(stored);
      expect(stepsOf(ways).length).toBeLessThanOrEqual(10);
    }
    expect(urls()).toEqual(['u8', 'u7']);
  });

  test('drops what is oldest, whichever way it is that grows', () => {
    const { ways, urls } = fixture({ stepsMax: 4 });
    const first = ways.begin('apt', 'first');
    const second = ways.begin('apt', 'second');
    ways.begin('apt', 'third');
    second.note(stored);
    for (let n = 0; n < 4; n++) first.note(stored);
    expect(urls()).toEqual(['third', 'second']);
  });

  test('keeps the way that alone has more steps than all may have', () => {
    const { ways } = fixture({ stepsMax: 4 });
    const trace = ways.begin('apt', url);
    for (let n = 0; n < 9; n++) trace.note(stored);
    expect(stepsOf(ways)).toHaveLength(9);
    // It is no longer the youngest.
    ways.begin('apt', 'next').note(stored);
    expect(stepsOf(ways)).toHaveLength(1);
  });

  test('takes nothing of a way that it has dropped', () => {
    const { ways, urls } = fixture({ waysMax: 2, stepsMax: 6 });
    const dropped = ways.begin('apt', 'dropped');
    for (const name of ['a', 'b']) {
      const trace = ways.begin('apt', name);
      for (let step = 0; step < 3; step++) trace.note(stored);
    }
    // Were they counted, `a` would have to go.
    for (let step = 0; step < 50; step++) dropped.note(verdict);
    expect(urls()).toEqual(['b', 'a']);
    expect(stepsOf(ways)).toHaveLength(6);
  });

  test('lets go of a way that it drops', async () => {
    const { ways } = fixture({ stepsMax: 4 });
    const dropped = new WeakRef(ways.begin('apt', url));
    const last = ways.begin('apt', url);
    for (let step = 0; step < 5; step++) last.note(stored);
    // A reference stays for the rest of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(ways.find()).toHaveLength(1);
    expect(dropped.deref()).toBeUndefined();
  });

  test('takes a few MB, whatever 10,000 requests say', () => {
    const heapBytes = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const { ways } = fixture();
    const parts = { path: 'p'.repeat(200), query: 'q'.repeat(7_900), text: 't'.repeat(8_000) };
    const before = heapBytes();
    for (let n = 0; n < 10_000; n++) {
      // As the request line has it: one string, of which parts are kept.
      const asked = Buffer.from(`http://h/${n}/${parts.path}?${parts.query}`, 'latin1').toString();
      const trace = ways.begin('apt', asked);
      for (let step = 0; step < 6; step++) trace.note({ what: 'owner', member: 'host1', rank: 1 });
      const end = Buffer.from(`${n} ${parts.text}`, 'latin1').toString();
      trace.note({ ...taken, end });
    }
    expect(ways.find({}, Infinity)).toHaveLength(2_000);
    expect((heapBytes() - before) / 2 ** 20).toBeLessThan(8);
  });
});

describe('ids', () => {
  test('are unique, also between nodes and after one has been dropped', () => {
    const ids = new Set<string>();
    for (const seed of [1, 2]) {
      const { ways } = fixture({ waysMax: 2 }, seed);
      for (let n = 0; n < 100; n++) ids.add(ways.begin('apt', url).id);
    }
    expect(ids.size).toBe(200);
    expect([...ids].filter((id) => wayIdOf(id) !== id)).toEqual([]);
  });

  test('that of the request which it serves goes before its own', () => {
    const { ways } = fixture();
    expect(ways.begin('peer', url, 'abc-1')).toMatchObject({ id: 'abc-1' });
  });

  test.each(['a', 'abc-1_Z', 'x'.repeat(40)])('%s may be one', (id) => {
    expect(wayIdOf(id)).toBe(id);
  });

  test.each(['', 'x'.repeat(41), 'a b', 'a\n', '<b>', 'ä', ['a'], undefined, 7])(
    '%j is none',
    (junk) => {
      expect(wayIdOf(junk)).toBeUndefined();
    },
  );
});

describe('find', () => {
  const other = 'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease';

  function told() {
    const { ways } = fixture();
    ways.begin('apt', url).note({ what: 'name', as: 'fixed', digest });
    ways.begin('apt', other).note({ ...resolved, digest });
    ways.begin('apt', other).note({ ...resolved, digest: 'e'.repeat(64) });
    ways.begin('peer', digest, 'abc-1');
    ways.begin('peer', url, 'abc-1').note({ what: 'name', as: 'fixed', digest });
    const tell = (query: Parameters<Ways['find']>[0], limit?: number) =>
      ways.find(query, limit).map((way) => `${way.from} ${way.url}`);
    return tell;
  }
  const resolved = { what: 'resolved', by: 'host1', status: 200, ageMs: 0, stale: false } as const;

  test('gives all, the latest first, and no more than asked for', () => {
    const all = [url, digest].map((each) => `peer ${each}`);
    const tell = told();
    expect(tell({})).toEqual([...all, `apt ${other}`, `apt ${other}`, `apt ${url}`]);
    expect(tell({}, 2)).toEqual(all);
  });

  test('gives those of a URL, with or without its query', () => {
    expect(told()({ url })).toEqual([`peer ${url}`, `apt ${url}`]);
    expect(told()({ url: `${other}?x=1` })).toEqual([`apt ${other}`, `apt ${other}`]);
    expect(told()({ url: 'http://archive.ubuntu.com/' })).toEqual([]);
  });

  test('gives those of an object, by whatever step or key they name it', () => {
    const found = [`peer ${url}`, `peer ${digest}`, `apt ${other}`, `apt ${url}`];
    expect(told()({ digest })).toEqual(found);
  });

  test('gives those of a request, and of all that is asked at once', () => {
    expect(told()({ id: 'abc-1' })).toEqual([`peer ${url}`, `peer ${digest}`]);
    expect(told()({ id: 'abc-1', url })).toEqual([`peer ${url}`]);
    expect(told()({ id: 'abc-1', url: other })).toEqual([]);
  });
});
