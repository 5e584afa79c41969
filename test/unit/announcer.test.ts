import { describe, expect, it } from 'vitest';
import { Announcer } from '../../node/discovery/announcer.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const HOUR = 3_600_000;

function fixture() {
  const clock = new ManualClock();
  const state = { ready: true, busy: false };
  const sent: { digest: string; atMs: number }[] = [];
  const startMs = clock.nowMs();
  const announcer = new Announcer(
    {
      clock,
      send: async (digest) => void sent.push({ digest, atMs: clock.nowMs() - startMs }),
      ready: () => state.ready,
      busy: () => state.busy,
    },
    { cycleMs: 5 * HOUR, quietMs: 5000, paceMs: 200, slowPaceMs: 1000, backlog: 500 },
  );
  // Sending is asynchronous: time goes on in steps, with a turn after each.
  const advance = async (ms: number, stepMs = 100) => {
    for (let left = ms; left > 0; left -= stepMs) {
      clock.advance(Math.min(left, stepMs));
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  const add = (count: number, from = 0) => {
    for (let n = from; n < from + count; n++) announcer.add(`${n}`);
  };
  return { announcer, clock, state, sent, advance, add };
}

describe('Announcer', () => {
  it('announces new objects once no more come, at its pace', async () => {
    const { sent, advance, add } = fixture();
    add(2);
    await advance(4000);
    add(1, 2);
    await advance(6000);
    expect(sent).toEqual([
      { digest: '0', atMs: 9000 },
      { digest: '1', atMs: 9200 },
      { digest: '2', atMs: 9400 },
    ]);
  });

  it('does not wait for ever while more keep coming, or a transfer runs', async () => {
    const { sent, state, advance, add } = fixture();
    for (let n = 0; n < 62; n++) {
      add(1, n);
      await advance(1000);
    }
    expect(sent.map(({ atMs }) => atMs)).toEqual([30_000, 60_000]);
    state.busy = true;
    await advance(60_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([30_000, 60_000, 90_000, 120_000]);
  });

  it('announces at once what it has had for long, also while a transfer runs', async () => {
    const { announcer, sent, state, advance, add } = fixture();
    state.ready = false;
    add(1);
    await advance(60_000);
    state.ready = true;
    state.busy = true;
    announcer.again();
    await advance(100);
    announcer.again();
    await advance(40_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([60_000, 90_000]);
  });

  it('does not wait for quiet with what came while nobody was there', async () => {
    const { announcer, sent, state, advance, add } = fixture();
    state.ready = false;
    add(3);
    await advance(1000);
    state.ready = true;
    announcer.again();
    await advance(100);
    // The first was told before more came; they are told like it.
    announcer.again();
    await advance(1000);
    expect(sent.map(({ digest }) => digest)).toEqual(['0', '1', '2', '0']);
    add(1, 3);
    await advance(4000);
    expect(sent).toHaveLength(4);
  });

  it('begins soon after the transfer that brought the object', async () => {
    const { sent, state, advance, add } = fixture();
    state.busy = true;
    add(1);
    await advance(2000);
    state.busy = false;
    await advance(28_000);
    expect(sent).toEqual([{ digest: '0', atMs: 5000 }]);
  });

  it('takes a full store slowly, and a busy machine slower', async () => {
    const { sent, advance, add, state } = fixture();
    add(700);
    await advance(105_000);
    expect(sent.length).toBeGreaterThan(95);
    expect(sent.length).toBeLessThan(105);
    state.busy = true;
    const before = sent.length;
    await advance(100_000, 1000);
    expect(sent.length - before).toBeLessThan(60);
  });

  it('announces each held object once in a cycle, evenly', async () => {
    const { sent, advance, add } = fixture();
    add(100);
    await advance(35_000);
    expect(sent).toHaveLength(100);
    sent.length = 0;
    await advance(5 * HOUR, 10_000);
    expect(new Set(sent.map(({ digest }) => digest)).size).toBe(sent.length);
    expect(sent.length).toBeGreaterThan(95);
    const gaps = sent.slice(1).map(({ atMs }, i) => atMs - sent[i]!.atMs);
    expect(Math.max(...gaps)).toBeLessThan(HOUR / 10);
  });

  it('holds once what is announced twice, and forgets what is withdrawn', async () => {
    const { announcer, sent, advance } = fixture();
    for (const digest of ['a', 'b', 'a']) announcer.add(digest);
    announcer.remove('b');
    await advance(6000);
    announcer.add('a');
    await advance(6000);
    expect(sent.map(({ digest }) => digest)).toEqual(['a']);
    expect(announcer.size).toBe(1);
  });

  it('waits until somebody is there, without a timer', async () => {
    const { announcer, clock, state, sent, advance, add } = fixture();
    state.ready = false;
    add(2);
    expect(clock.pending).toBe(0);
    state.ready = true;
    announcer.wake();
    await advance(6000);
    expect(sent).toHaveLength(2);
  });

  it('stops when closed', async () => {
    const { announcer, clock, sent, advance, add } = fixture();
    add(5);
    announcer.close();
    await advance(8000);
    expect([sent.length, clock.pending]).toEqual([0, 0]);
  });
});
