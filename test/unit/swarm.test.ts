// What an owner remembers of those who want an object, over time.
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { MiB } from '../../node/limits.ts';
import { Swarm, Swarms } from '../../node/swarm/swarm.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';

const digest = digestOf('big');
const size = 100 * MiB;
const nobody = new Set<string>();

function setup(bytes = size) {
  const clock = new ManualClock();
  const swarm = new Swarm(digest, bytes, clock);
  const members = Array.from({ length: 30 }, (_, n) => memberFixture(n));
  /** As the owner does for a request. Resolves to the number of the source, -1 for the root. */
  const ask = (n: number, { upstream = true, have = 0, exclude = nobody } = {}) => {
    const member = members[n]!;
    swarm.join(member, have);
    const source = swarm.place(member.id, exclude, upstream);
    if (source) return members.findIndex(({ id }) => id === source.id);
    swarm.placeAtRoot(member.id);
    swarm.rootChildren++;
    return -1;
  };
  return { clock, swarm, members, ask };
}

describe('a swarm', () => {
  test.each([
    ['of a large object from upstream', size, true, 2, 2],
    ['of a large stored object', size, false, 1, 1],
    ['of a small object', 100_000, true, 10, 2],
    ['of a very small object', 20_000, true, 30, 0],
  ])('%s: nobody serves more than its share', (_what, bytes, upstream, root, relay) => {
    const { ask } = setup(bytes);
    const sources = Array.from({ length: 30 }, (_, n) => ask(n, { upstream }));
    const load = new Map<number, number>();
    for (const source of sources) load.set(source, (load.get(source) ?? 0) + 1);
    expect(load.get(-1)).toBe(root);
    load.delete(-1);
    expect(Math.max(0, ...load.values())).toBe(relay);
  });

  test.each([true, false])('one after the other, all give alike (large: %s)', (large) => {
    const { ask, swarm, members } = setup(large ? size : 100_000);
    const given = new Map<number, number>();
    for (let n = 0; n < 30; n++) {
      const source = ask(n);
      given.set(source, (given.get(source) ?? 0) + 1);
      swarm.finished(members[n]!.id);
      if (source === -1) swarm.rootChildren--;
    }
    // A small object takes less time than to be sent elsewhere.
    expect(given.get(-1)).toBe(large ? 1 : 30);
    expect(Math.max(...given.values())).toBe(large ? 1 : 30);
  });

  test('who asks again gives its old place free', () => {
    const { ask, members } = setup();
    for (const n of [0, 1, 2, 3]) ask(n);
    expect([ask(4), ask(5), ask(6)]).toEqual([0, 1, 2]);
    expect(ask(4, { exclude: new Set([members[0]!.id]) })).toBe(3);
    expect(ask(7)).toBe(0);
  });

  test('who failed two is offered to nobody, until it is heard of again', () => {
    const { ask, swarm, members } = setup();
    for (const n of [0, 1, 2, 3]) ask(n);
    const dead = new Set([members[0]!.id]);
    expect(ask(4)).toBe(0);
    ask(4, { exclude: dead });
    expect(ask(5)).toBe(0);
    ask(5, { exclude: dead });
    expect([6, 7, 8, 9].map((n) => ask(n))).not.toContain(0);
    swarm.progress(members[0]!.id, 10, 11);
    expect([10, 11].map((n) => ask(n))).toContain(0);
  });

  test('a place that nobody speaks of any more becomes free', () => {
    const { ask, clock } = setup();
    for (const n of [0, 1, 2, 3, 4, 5]) ask(n);
    clock.advance(15_001);
    expect([ask(6), ask(7)]).toEqual([0, 1]);
  });

  test('who progresses keeps its place', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2, 3, 4, 5]) ask(n);
    clock.advance(3_000);
    for (const n of [0, 1, 2, 3, 4, 5]) swarm.progress(members[n]!.id, 10, 11);
    clock.advance(3_000);
    expect([ask(6), ask(7)]).toEqual([2, 3]);
  });

  test('who was silent for long and then progresses has its place again, counted once', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2, 3, 4, 5]) ask(n);
    clock.advance(15_001);
    expect(swarm.place(members[9]!.id, nobody, true)).toBeDefined();
    for (const n of [2, 3, 4, 5, 2, 3, 4, 5]) swarm.progress(members[n]!.id, 10, 11);
    expect([ask(6), ask(7)]).toEqual([2, 3]);
  });

  test('a chain of members behind a stored object stays as it is while it flows', () => {
    const { ask, clock, swarm, members } = setup();
    const sources = Array.from({ length: 24 }, (_, n) => ask(n, { upstream: false }));
    expect(sources).toEqual([-1, ...Array.from({ length: 23 }, (_, n) => n)]);
    for (let second = 1; second <= 10; second++) {
      clock.advance(1_000);
      for (let n = 0; n < 24; n++) {
        const have = Math.max(0, 48 * second - 2 * n);
        expect(swarm.progress(members[n]!.id, have, undefined), `${n} at ${second} s`).toBe(
          undefined,
        );
      }
    }
    expect(ask(25, { upstream: false })).toBe(23);
  });

  test('who is far behind its source is moved, seldom, and gets no children', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2]) ask(n);
    const moves: unknown[] = [];
    for (let second = 0; second < 8; second++) {
      for (const n of [0, 1]) expect(swarm.progress(members[n]!.id, 195, 200)).toBe(undefined);
      moves.push(swarm.progress(members[2]!.id, 100 + second, 200));
      clock.advance(1_000);
    }
    const no = undefined;
    expect(moves).toEqual([no, no, 'behind', no, no, no, 'behind', no]);
    expect(Array.from({ length: 3 }, (_, n) => ask(3 + n))).not.toContain(2);
  });

  test('who is behind its source for a moment stays', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2]) ask(n);
    swarm.progress(members[0]!.id, 195, 200);
    for (const have of [100, 110, 175, 100, 110, 190]) {
      expect(swarm.progress(members[2]!.id, have, 200)).toBe(undefined);
      clock.advance(1_000);
    }
  });

  test('who gets nothing of what there is is moved at once, seldom, and from relays alone', () => {
    const { ask, swarm, members, clock } = setup(MiB);
    for (const n of [0, 1, 2]) ask(n);
    clock.advance(5000);
    const report = (n: number, starved: boolean) =>
      swarm.progress(members[n]!.id, 0, undefined, { starved });
    expect([ask(2), report(0, true)]).toEqual([1, undefined]);
    expect([report(2, false), report(2, true), report(2, true)]).toEqual([
      undefined,
      'behind',
      undefined,
    ]);
    clock.advance(4000);
    expect(report(2, true)).toBe('behind');
  });

  test('who gets nothing at all has time to find it out by itself', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2]) ask(n);
    swarm.progress(members[0]!.id, 195, 200);
    const moves = Array.from({ length: 6 }, () => {
      clock.advance(1_000);
      return swarm.progress(members[2]!.id, 100, 200);
    });
    expect(moves).toEqual([...Array.from({ length: 5 }, () => undefined), 'behind']);
  });

  describe('a relay with a tenth of the rate', () => {
    /** Members 2 and 4 are behind 0, 3 and 5 behind 1; the front gains 20 pieces a second. */
    function reports(rateOf: (n: number) => number) {
      const { ask, clock, swarm, members } = setup();
      expect([0, 1, 2, 3, 4, 5].map((n) => ask(n))).toEqual([-1, -1, 0, 1, 0, 1]);
      const told: string[] = [];
      for (let second = 1; second <= 10; second++) {
        clock.advance(1_000);
        for (const n of [0, 1, 2, 3, 4, 5]) {
          const move = swarm.progress(members[n]!.id, rateOf(n) * second, 20 * second);
          if (move) told.push(`${n} ${move}`);
        }
      }
      return { told: told.slice(0, 4), ask, members };
    }

    test('is left by all, named by the second, and gets no children', () => {
      const { told, ask, members } = reports((n) => (n === 2 || n === 4 ? 2 : 20));
      expect(told.slice(0, 2)).toEqual(['2 behind', '4 slow']);
      const exclude = new Set([members[0]!.id]);
      expect([ask(2, { exclude }), ask(4, { exclude })]).not.toContain(0);
      expect(Array.from({ length: 10 }, (_, n) => ask(6 + n))).not.toContain(0);
    });

    test('is not named for one member, which may be slow itself', () => {
      const { told } = reports((n) => (n === 2 ? 2 : 20));
      expect(new Set(told)).toEqual(new Set(['2 behind']));
    });

    test('is not named when another member gets on well with it, however many do not', () => {
      const { ask, clock, swarm, members } = setup();
      for (const n of [0, 1, 2, 3, 4, 5]) ask(n);
      const moves: string[] = [];
      for (let second = 1; second <= 20; second++) {
        clock.advance(1_000);
        for (const n of [0, 2]) swarm.progress(members[n]!.id, 20 * second, 20 * second);
        const child = second <= 10 ? 4 : 6;
        const move = swarm.progress(members[child]!.id, 2 * second, 20 * second);
        if (move) moves.push(`${child} ${move}`);
        if (second !== 10) continue;
        ask(4, { have: 20, exclude: new Set([members[0]!.id]) });
        expect(ask(6)).toBe(0);
      }
      expect(new Set(moves)).toEqual(new Set(['4 behind', '6 behind']));
    });
  });

  test('a member with a narrow link gets no children for a minute, whole or not', () => {
    const { ask, clock, swarm, members } = setup();
    const [narrow] = members;
    swarm.join(narrow!, 0, true);
    const sources = [1, 2, 3, 4].map((n) => ask(n));
    swarm.progress(narrow!.id, 100, 100, { narrow: true });
    sources.push(ask(5), ask(6));
    swarm.finished(narrow!.id);
    expect([...sources, ask(7), ask(8)]).not.toContain(0);
    clock.advance(61_000);
    expect(ask(9)).toBe(0);
  });

  test('a relay whose link turns out narrow loses its children, and names nobody', () => {
    const { ask, clock, swarm, members } = setup();
    expect([0, 1, 2].map((n) => ask(n))).toEqual([-1, -1, 0]);
    clock.advance(5_000);
    expect(swarm.progress(members[0]!.id, 100, 100, { narrow: true })).toBe(undefined);
    expect(swarm.progress(members[2]!.id, 100, 100)).toBe('behind');
    expect(ask(2)).toBe(1);
  });

  test('who lags behind every source names none of them', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2, 3]) ask(n);
    const lag = (child: number, source: number) => {
      let move: unknown;
      for (let second = 0; second < 5; second++) {
        clock.advance(1_000);
        swarm.progress(members[source]!.id, 195, 200);
        move = swarm.progress(members[child]!.id, 50 + second, 200) ?? move;
      }
      return move;
    };
    expect(lag(2, 0)).toBe('behind');
    expect(ask(2, { have: 50, exclude: new Set([members[0]!.id]) })).toBe(1);
    expect(lag(3, 1)).toBe('behind');
    // Member 1 has held up another one, but this one lagged behind member 0 as well.
    expect(lag(2, 1)).toBe('behind');
  });

  test('who was held up before its source had all of it is moved, and names nobody', () => {
    const { ask, clock, swarm, members } = setup();
    for (const n of [0, 1, 2, 3, 4]) ask(n);
    const total = size / (128 * 1024);
    swarm.progress(members[0]!.id, total - 10, total);
    const moves = [100, 110, 120].map((have, second) => {
      if (second === 1) swarm.progress(members[0]!.id, total, total);
      clock.advance(1_000);
      return [2, 4].map((n) => swarm.progress(members[n]!.id, have, total));
    });
    const no = undefined;
    expect(moves).toEqual([
      [no, no],
      [no, no],
      ['behind', 'behind'],
    ]);
  });

  test('those behind a relay that lags are moved, it is not, and its load falls', () => {
    const { ask, swarm, members } = setup();
    for (const n of [0, 1, 2]) ask(n);
    const move = (n: number, have: number) => swarm.progress(members[n]!.id, have, 200);
    expect([move(0, 50), move(2, 49)]).toEqual([undefined, 'behind']);
    expect(ask(2, { have: 49, exclude: new Set([members[0]!.id]) })).toBe(1);
    expect([ask(3), ask(4)]).not.toContain(0);
  });

  test('who lost the object and asks again is not taken to have it', () => {
    const { ask, swarm, members } = setup();
    ask(0);
    swarm.finished(members[0]!.id);
    expect(swarm.ahead(0).map(({ whole }) => whole)).toEqual([true]);
    ask(0);
    expect(swarm.ahead(0)).toEqual([]);
  });

  test('who has the whole object serves also those who once served it', () => {
    const { ask, swarm, members } = setup();
    for (const n of [0, 1, 2]) ask(n);
    swarm.finished(members[2]!.id);
    expect(ask(0, { exclude: new Set([members[1]!.id]) })).toBe(2);
  });

  test('who is dropped is nobody’s source', () => {
    const { ask, swarm, members } = setup();
    for (const n of [0, 1, 2, 3]) ask(n);
    swarm.drop(members[0]!.id);
    expect(Array.from({ length: 6 }, (_, n) => ask(4 + n))).not.toContain(0);
    expect(swarm.members).toBe(9);
  });

  test('ahead: the whole ones first, then by what they have; the leader by its claim', () => {
    const { ask, swarm, members } = setup();
    ask(0, { have: 5 });
    ask(1, { have: 9 });
    swarm.noteLeader(members[2]!, 3);
    ask(3);
    swarm.finished(members[3]!.id);
    expect(swarm.ahead(4).map(({ member }) => member.name)).toEqual(['host3', 'host1', 'host0']);
    expect(swarm.leader()?.name).toBe('host2');
  });
});

test('the swarms asked about last are kept', () => {
  const swarms = new Swarms({ clock: new ManualClock() });
  const digests = Array.from({ length: 2_001 }, (_, n) => digestOf(`${n}`));
  for (const each of digests.slice(0, 2_000)) swarms.of(each, 1);
  swarms.of(digests[0]!, 1);
  swarms.of(digests[2_000]!, 1);
  expect([swarms.get(digests[0]!) !== undefined, swarms.get(digests[1]!)]).toEqual([
    true,
    undefined,
  ]);
});
