// Each sign that a member should pass an object on to nobody, alone.
import { describe, expect, it } from 'vitest';
import { Accusations } from '../../node/swarm/accusations.ts';
import { isFarBehind, Lags } from '../../node/swarm/lags.ts';
import { NarrowLinks } from '../../node/swarm/narrow-links.ts';
import { SlowSources } from '../../node/swarm/slow-sources.ts';
import { Stragglers } from '../../node/swarm/stragglers.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

describe('a lag', () => {
  const far = { have: 10, could: 100 };
  const near = { have: 10, could: 34, grew: true };

  it('is three MiB', () => {
    expect([isFarBehind(10, 34), isFarBehind(10, 35)]).toEqual([false, true]);
  });

  it.each([
    [true, 3],
    [false, 6],
  ])('is a reason to move (it grows: %s) after %i reports in a row', (grew, reports) => {
    const lags = new Lags();
    lags.report('a', { ...far, grew });
    expect([lags.report('a', near), lags.isBehind('a')]).toEqual([false, false]);
    const told = Array.from({ length: reports }, () => lags.report('a', { ...far, grew }));
    expect(told.indexOf(true)).toBe(reports - 1);
    expect([lags.isBehind('a'), lags.wasHeldUp('a'), lags.isBehind('b')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('is counted anew with another source, and holds until the next report', () => {
    const lags = new Lags();
    for (let n = 0; n < 2; n++) lags.report('a', { ...far, grew: true });
    lags.askedAgain('a');
    lags.askedAgain('b');
    expect([lags.isBehind('a'), lags.wasHeldUp('a'), lags.isBehind('b')]).toEqual([
      true,
      false,
      false,
    ]);
    expect(lags.report('a', { ...far, grew: true })).toBe(false);
  });
});

describe('a slow source', () => {
  it('has two witnesses', () => {
    const slow = new SlowSources();
    expect([slow.accuse('s', 'a', false), slow.has('s')]).toEqual([false, false]);
    expect([slow.accuse('s', 'b', false), slow.has('s')]).toEqual([true, true]);
    slow.forget('s');
    expect(slow.has('s')).toBe(false);
  });

  it('is not named by one that lagged elsewhere, nor when it gives another one more', () => {
    const slow = new SlowSources();
    slow.accuse('t', 'a', false);
    slow.accuse('s', 'b', false);
    expect(slow.accuse('s', 'a', false)).toBe(false);
    expect(slow.accuse('s', 'c', true)).toBe(false);
    expect(slow.accuse('s', 'b', false)).toBe(false);
    slow.forget('b');
    expect(slow.accuse('s', 'b', false)).toBe(false);
    expect(slow.has('s')).toBe(false);
  });
});

it('a narrow link is believed for a minute, and not against its own word', () => {
  const clock = new ManualClock();
  const narrow = new NarrowLinks({ clock });
  for (const id of ['a', 'b']) narrow.note(id, true);
  clock.advance(59_999);
  narrow.note('b', false);
  expect([narrow.has('a'), narrow.has('b')]).toEqual([true, false]);
  clock.advance(1);
  expect(narrow.has('a')).toBe(false);
});

it('two different members make a source shunned, until it is heard of', () => {
  const accusations = new Accusations();
  for (const by of ['a', 'a']) accusations.accuse('s', by);
  expect([...accusations.shunned()]).toEqual([]);
  accusations.accuse('s', 'b');
  accusations.accuse('t', 'b');
  expect([...accusations.shunned()]).toEqual(['s']);
  accusations.forget('s');
  expect([...accusations.shunned()]).toEqual([]);
});

it('any sign makes a straggler', () => {
  const stragglers = new Stragglers({ clock: new ManualClock() });
  stragglers.narrow.note('narrow', true);
  stragglers.lags.report('behind', { have: 0, could: 100, grew: true });
  for (const child of ['a', 'b']) stragglers.slow.accuse('slow', child, false);
  const all = ['narrow', 'behind', 'slow', 'a'];
  expect(all.map((id) => stragglers.has(id))).toEqual([true, true, true, false]);
  for (const id of all) stragglers.forget(id);
  expect(all.map((id) => stragglers.has(id))).toEqual([false, false, false, false]);
});
