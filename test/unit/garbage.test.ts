import { setTimeout as sleep } from 'node:timers/promises';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Timer } from '../../node/platform/clock.ts';
import { collectWhileIdle } from '../../node/platform/garbage.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const MINUTE = 60_000;
const MiB = 1024 * 1024;
setFlagsFromString('--expose-gc');
const minor = runInNewContext('gc') as (options: { type: 'minor' }) => void;
const state = { busy: false, served: 0 };
let clock: ManualClock;
let timer: Timer;

beforeEach(() => {
  state.busy = false;
  clock = new ManualClock();
  timer = collectWhileIdle({ clock, busy: () => state.busy, served: () => state.served });
  clock.advance(MINUTE);
});
afterEach(() => timer.cancel());

/** Leaves so many MiB behind, which only a collection of everything finds, since they are old. */
async function garbageOf(megabytes: number): Promise<WeakRef<object>> {
  const old = Array.from({ length: megabytes }, () => Array.from({ length: MiB / 8 }, Math.random));
  for (let i = 0; i < 3; i++) minor({ type: 'minor' });
  const ref = new WeakRef(old);
  // What a WeakRef refers to lives until the end of the job.
  await sleep(1);
  return ref;
}

test('an idle node collects what a transfer left', async () => {
  const left = await garbageOf(12);
  clock.advance(MINUTE);
  expect(left.deref()).toBeUndefined();
});

test('one that serves waits until it has served nothing for a while', async () => {
  const left = await garbageOf(12);
  state.served++;
  for (let look = 0; look < 3; look++) {
    clock.advance(10_000);
    expect(left.deref()).toBeDefined();
    await sleep(1);
  }
  clock.advance(10_000);
  expect(left.deref()).toBeUndefined();
});

test('a busy one does not, nor one with little to collect', async () => {
  state.busy = true;
  const much = await garbageOf(12);
  clock.advance(MINUTE);
  expect(much.deref()).toBeDefined();
  await sleep(1);
  state.busy = false;
  clock.advance(MINUTE);
  expect(much.deref()).toBeUndefined();
  const little = await garbageOf(1);
  clock.advance(MINUTE);
  expect(little.deref()).toBeDefined();
});

test('what dies young while a node is idle is collected soon', () => {
  clock.advance(MINUTE);
  const before = usedBytes();
  for (let i = 0; i < 1_000; i++) Array.from({ length: 128 }, Math.random);
  expect(usedBytes()).toBeGreaterThan(before + MiB);
  clock.advance(10_000);
  expect(usedBytes()).toBeLessThan(before + MiB / 2);
});

function usedBytes(): number {
  return getHeapStatistics().used_heap_size;
}
