import { getHeapStatistics } from 'node:v8';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Timer } from '../../node/platform/clock.ts';
import { collectWhileIdle } from '../../node/platform/garbage.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const MINUTE = 60_000;
const MiB = 1024 * 1024;
const state = { busy: false };
let clock: ManualClock;
let timer: Timer;

beforeEach(() => {
  state.busy = false;
  clock = new ManualClock();
  timer = collectWhileIdle({ clock, busy: () => state.busy });
  clock.advance(MINUTE);
});
afterEach(() => timer.cancel());

/** Leaves so many MiB behind that V8 has not collected yet, and tells what goes within a minute. */
function collectedOf(megabytes: number): number {
  let buffers: Buffer[] | undefined = Array.from({ length: megabytes }, () => Buffer.alloc(MiB));
  expect(buffers).toHaveLength(megabytes);
  const before = getHeapStatistics().external_memory;
  buffers = undefined;
  clock.advance(MINUTE);
  return (before - getHeapStatistics().external_memory) / MiB;
}

test('an idle node collects what a transfer left', () => {
  expect(collectedOf(12)).toBeGreaterThan(10);
});

test('a busy one does not, nor one with little to collect', () => {
  state.busy = true;
  expect(collectedOf(12)).toBeLessThan(1);
  state.busy = false;
  clock.advance(MINUTE);
  expect(collectedOf(1)).toBeLessThan(0.5);
});
