import { describe, expect, it } from 'vitest';
import { Blames } from '../../node/fleet/blames.ts';
import { Ranking } from '../../node/fleet/ranking.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';

const SECOND = 1000;

describe('Blames', () => {
  const clock = new ManualClock();
  const one = memberFixture(1);

  it('lasts by fault, and counts ten failures of one moment as one', () => {
    const blames = new Blames(clock);
    blames.add(one, 'stalled', 'no byte for 5 s');
    for (let i = 0; i < 10; i++) blames.add(one, 'stalled', 'no byte for 5 s');
    expect(blames.latest()).toHaveLength(1);
    clock.advance(29 * SECOND);
    expect(blames.of(one.id)).toMatchObject({ fault: 'stalled', name: 'host1' });
    clock.advance(SECOND);
    expect(blames.of(one.id)).toBeUndefined();
    expect(blames.active().size).toBe(0);
  });

  it('avoids an unreachable member longer each time, up to five minutes', () => {
    const blames = new Blames(clock);
    const lengths = Array.from({ length: 7 }, () => {
      blames.add(one, 'unreachable', 'ECONNREFUSED');
      const { atMs, untilMs } = blames.of(one.id)!;
      clock.advance(untilMs - atMs);
      return (untilMs - atMs) / SECOND;
    });
    expect(lengths).toEqual([10, 20, 40, 80, 160, 300, 300]);
  });

  it.each([3600, -3600])('lasts as long when the wall clock is set by %i s', (seconds) => {
    const blames = new Blames(clock);
    blames.add(one, 'unreachable', 'ECONNREFUSED');
    clock.setWall(seconds * SECOND);
    clock.advance(9 * SECOND);
    expect([blames.of(one.id)?.fault, blames.active().size]).toEqual(['unreachable', 1]);
    // As whoever reads the status sees it, by the clock of now.
    const [{ atMs, untilMs } = { atMs: 0, untilMs: 0 }] = blames.latest();
    expect([clock.nowMs() - atMs, untilMs - clock.nowMs()]).toEqual([9 * SECOND, SECOND]);
    clock.advance(SECOND);
    expect([blames.of(one.id), blames.active().size]).toEqual([undefined, 0]);
    // It was so a moment ago: longer this time.
    blames.add(one, 'unreachable', 'ECONNREFUSED');
    clock.advance(19 * SECOND);
    expect(blames.of(one.id)).toBeDefined();
  });

  it('forgives a restart, but not wrong bytes', () => {
    const blames = new Blames(clock);
    blames.add(one, 'unreachable', 'ECONNREFUSED');
    blames.restarted(one.id);
    expect(blames.of(one.id)).toBeUndefined();
    blames.add(one, 'corrupt', 'piece 3');
    blames.add(one, 'slow', 'slow');
    blames.restarted(one.id);
    expect(blames.of(one.id)).toMatchObject({ fault: 'corrupt' });
  });

  it('remembers the latest hundred', () => {
    const blames = new Blames(clock);
    for (let n = 0; n < 150; n++) blames.add(memberFixture(n), 'slow', `${n}`);
    expect(blames.latest()).toHaveLength(100);
    expect(blames.latest()[0]!.detail).toBe('149');
  });
});

describe('Ranking', () => {
  const clock = new ManualClock();
  const hosts = ['archive.ubuntu.com'];
  const members = Array.from({ length: 12 }, (_, n) =>
    memberFixture(n, { upstream: n !== 0, archives: n % 3 === 0 ? hosts : [] }),
  );
  const names = (list: { name: string }[]) => list.map(({ name }) => name);

  it('leaves out who may not go upstream, and keeps to those that have the host', () => {
    const ranking = new Ranking(members, new Blames(clock), 1);
    expect(ranking.rank('k')).toHaveLength(11);
    expect(names(ranking.rank('k', { host: hosts[0]! })).sort()).toEqual([
      'host3',
      'host6',
      'host9',
    ]);
    expect(ranking.rank('k', { host: 'ppa.launchpad.net' })).toEqual(ranking.rank('k'));
  });

  it.each([
    [1, ['host1', 'host2']],
    [2, ['host1', 'host2', 'host3']],
    [3, ['host2', 'host3']],
  ])('of protocol %d ranks who speaks it or the one before', (own, ranked) => {
    const mixed = [1, 2, 3].map((n) => memberFixture(n, { protocol: n }));
    const ranking = new Ranking(mixed, new Blames(clock), own);
    expect(names(ranking.rank('k', { unbiased: true })).sort()).toEqual(ranked);
  });

  it('puts members that are gone or wrong last, unless unbiased', () => {
    const blames = new Blames(clock);
    const ranking = new Ranking(members, blames, 1);
    const fair = names(ranking.rank('k'));
    blames.add(ranking.rank('k')[0]!, 'unreachable', '');
    blames.add(ranking.rank('k', { unbiased: true })[2]!, 'corrupt', '');
    expect(names(ranking.rank('k', { limit: 2 }))).toEqual([fair[1], fair[3]]);
    expect(names(ranking.rank('k')).slice(-2)).toEqual([fair[0], fair[2]]);
    expect(names(ranking.rank('k', { unbiased: true, limit: 3 }))).toEqual(fair.slice(0, 3));
  });

  it('leaves a busy member what it owns, and minds its other faults as ever', () => {
    const time = new ManualClock();
    const blames = new Blames(time);
    const ranking = new Ranking(members, blames, 1);
    const [owner, successor] = ranking.rank('k');
    const first = () => ranking.rank('k', { limit: 1 })[0]!.name;
    const harm = () => blames.of(owner!.id, { busy: false })?.fault;
    blames.add(owner!, 'slow', '');
    blames.add(owner!, 'stalled', 'shorter than the other');
    expect([first(), harm(), blames.of(owner!.id)?.fault]).toEqual([
      owner!.name,
      undefined,
      'slow',
    ]);
    blames.add(owner!, 'unreachable', '');
    expect([first(), harm()]).toEqual([successor!.name, 'unreachable']);
    time.advance(11 * SECOND);
    expect([first(), harm(), blames.of(owner!.id)?.fault]).toEqual([
      owner!.name,
      undefined,
      'slow',
    ]);
    time.advance(60 * SECOND);
    expect(blames.of(owner!.id)).toBeUndefined();
    blames.add(owner!, 'unreachable', '');
    blames.add(owner!, 'slow', '');
    time.advance(11 * SECOND);
    blames.restarted(owner!.id);
    expect(blames.of(owner!.id)).toBeUndefined();
  });
});
