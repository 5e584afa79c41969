// Who passes an object on to whom.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  chooseSource,
  type HandoutQuery,
  type Participant,
  ROOT,
} from '../../node/swarm/handout.ts';

const fanOut = { root: 2, relay: 2, rootFirst: false };

function query(participants: readonly Partial<Participant>[], more: Partial<HandoutQuery> = {}) {
  const all = participants.map((fields) => ({
    id: '?',
    parent: ROOT,
    whole: false,
    children: 0,
    given: 0,
    lagging: false,
    ...fields,
  }));
  return {
    asker: 'me',
    exclude: new Set<string>(),
    participants: new Map(all.map((each) => [each.id, each])),
    rootChildren: all.filter(({ parent }) => parent === ROOT).length,
    rootGiven: 0,
    fanOut,
    ...more,
  };
}

describe('a newcomer', () => {
  test.each<[string, readonly Partial<Participant>[], Partial<HandoutQuery>, string]>([
    ['is served by the root while it has room', [{ id: 'a' }], {}, ROOT],
    ['then by a relay', [{ id: 'a' }, { id: 'b', children: 1 }], {}, 'a'],
    [
      'by the one that is nearest to the root',
      [
        { id: 'a', children: 2 },
        { id: 'b', children: 1 },
        { id: 'c', parent: 'a' },
      ],
      {},
      'b',
    ],
    [
      'never by one that lags',
      [
        { id: 'a', lagging: true },
        { id: 'b', children: 1 },
      ],
      {},
      'b',
    ],
    [
      'by whoever has the whole as soon as by the root, if that one gave less',
      [
        { id: 'a', parent: undefined, whole: true, given: 2 },
        { id: 'b', parent: undefined, whole: true, given: 1 },
      ],
      { rootGiven: 2 },
      'b',
    ],
    [
      'by the root nevertheless, when to be sent elsewhere costs more',
      [{ id: 'a', parent: undefined, whole: true }],
      { rootGiven: 2, fanOut: { ...fanOut, rootFirst: true } },
      ROOT,
    ],
    ['never by an excluded one', [{ id: 'a' }, { id: 'b' }], { exclude: new Set(['a']) }, 'b'],
    [
      'never by one that gets its bytes from it',
      [{ id: 'me' }, { id: 'a', parent: 'me' }, { id: 'b', parent: 'a' }, { id: 'c', children: 1 }],
      {},
      'c',
    ],
    [
      'by the root beyond its room when nobody else is left',
      [{ id: 'a' }, { id: 'b' }],
      {
        exclude: new Set(['a', 'b']),
      },
      ROOT,
    ],
  ])('%s', (_what, participants, more, expected) => {
    expect(chooseSource(query(participants, more))).toBe(expected);
  });
});

test('whatever happens: no circles, never an excluded or lagging one, uplinks bounded', () => {
  const step = fc.record({
    asker: fc.nat(29),
    exclude: fc.array(fc.nat(29), { maxLength: 3 }),
    lags: fc.nat(60),
    whole: fc.nat(60),
  });
  const newcomer = { whole: false, children: 0, given: 0, lagging: false };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const all = new Map<string, Participant & { parent: string | undefined }>();
      const childrenOf = (id: string) => [...all.values()].filter((p) => p.parent === id).length;
      for (const { asker, exclude, lags, whole } of steps) {
        const id = `n${asker}`;
        const excluded = new Set(exclude.map((n) => `n${n}`));
        const had = all.get(id);
        all.set(id, { ...newcomer, id, parent: had?.parent });
        const now = new Map(
          [...all.values()].map((p) => [
            p.id,
            {
              ...{ ...p, children: childrenOf(p.id) },
              ...{ lagging: p.id === `n${lags}`, whole: p.id === `n${whole}` },
            },
          ]),
        );
        const source = chooseSource({
          asker: id,
          exclude: excluded,
          participants: now,
          rootChildren: childrenOf(ROOT),
          rootGiven: 0,
          fanOut,
        });
        expect(source).not.toBe(id);
        expect(excluded.has(source)).toBe(false);
        expect(source).not.toBe(`n${lags}`);
        const places = source === ROOT ? fanOut.root : fanOut.relay;
        const free = [...now.values()].filter(
          (p) =>
            p.id !== id &&
            !p.lagging &&
            !excluded.has(p.id) &&
            p.parent === ROOT &&
            p.children < fanOut.relay,
        );
        const load = source === ROOT ? childrenOf(ROOT) : (now.get(source)?.children ?? 0);
        if (free.length > 0 || childrenOf(ROOT) < fanOut.root) expect(load).toBeLessThan(places);
        all.set(id, { ...newcomer, id, parent: source });
        for (let at: string | undefined = id, hops = 0; at && at !== ROOT; hops++) {
          expect(hops).toBeLessThan(all.size + 1);
          at = all.get(at)?.parent;
        }
      }
    }),
    { numRuns: 100 },
  );
});
