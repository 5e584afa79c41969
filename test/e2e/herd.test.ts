// The herd in the lab, small: every scenario in real namespaces, with real apt. What is counted
// must be right on any machine; how long it took is for `npm run herd` to say.
import { rm } from 'node:fs/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import {
  canRunLab,
  type LabOutcome,
  labFolder,
  labPackages,
  runLab,
  sizesOf,
} from '../fixtures/lab.ts';
import type { Result } from '../lab/measure.ts';

/** One object of more than 4 MB, and next to nothing. */
const LARGE = 'fonts-noto';
/** Two dozen objects: with so many, each machine has to give some to others. */
const MANY = 'curl';
const TIMEOUT_MS = 150_000;
const able = canRunLab();

let dir: string;
let sizes: number[];

beforeAll(async () => {
  if (!able) return;
  await ensureDebianPackages(labPackages);
  sizes = await sizesOf(LARGE);
  await sizesOf(MANY);
}, 300_000);

beforeEach(async () => {
  dir = await labFolder();
});

afterEach(() => rm(dir, { recursive: true, force: true }));

/** Runs debherd only; all apts that live must be well, and nothing may be left. */
async function herd(args: string[]): Promise<Result & Pick<LabOutcome, 'said'>> {
  const done = await runLab(dir, ['--systems', 'debherd', ...args], TIMEOUT_MS - 20_000);
  const [result] = done.results;
  expect(result?.failures, done.said).toEqual([]);
  expect(result, done.said).toMatchObject({ failedUpdates: 0, failedInstalls: 0 });
  expect(result?.finished.length).toBeGreaterThan(0);
  expect(done.code, done.said).toBe(0);
  expect(done.left).toEqual([]);
  return { ...result!, said: done.said };
}

describe.runIf(able)('eight machines', { timeout: TIMEOUT_MS }, () => {
  const eight = ['--nodes', '8', '--lan', '50mbit', '--wan', '20mbit', '--package', LARGE];

  test('cold: each byte comes once over the WAN', async () => {
    const result = await herd([...eight, '--scenario', 'cold']);
    expect(result.finished).toHaveLength(8);
    expect(result.uniqueBytes).toBeGreaterThan(Math.max(...sizes));
    expect(result.wanAmplification).toBeLessThanOrEqual(1.01);
    expect(result.upstreamRequests).toBe(result.uniqueNames);
    expect(result.blames).toEqual([]);
  });

  test('the owner is killed in mid-file: that file is asked for once more', async () => {
    const largest = Math.max(...sizes);
    expect(largest).toBeGreaterThan(4e6);
    const result = await herd([...eight, '--scenario', 'owner-killed']);
    const killed = /killed (n\d) amid \d of the (\d+) files/.exec(result.said);
    expect(killed, result.said).not.toBe(null);
    expect(result.finished).toHaveLength(7);
    const { upstreamRequests, uniqueNames, wanAmplification, uniqueBytes, blames } = result;
    // What it had and nobody else has yet is asked for once more as well.
    expect(upstreamRequests).toBeLessThanOrEqual(uniqueNames + Number(killed?.[2]));
    expect(wanAmplification).toBeLessThanOrEqual(1 + largest / uniqueBytes);
    expect(blames.filter((blame) => !blame.startsWith(`${killed?.[1]} `))).toEqual([]);
  });
});

describe.runIf(able)('four machines', { timeout: TIMEOUT_MS }, () => {
  // Links so fast that the scenario is over soon, so slow that it happens in the middle.
  const four = ['--nodes', '4', '--lan', '200mbit', '--wan', '40mbit', '--package', MANY];
  const harmless = [
    ['tracker-killed', 'killed the tracker', []],
    ['restart', 'killed 1 daemons, which their holders start anew', ['n1 unreachable']],
    ['rolling', 'ended after', []],
  ] as const;

  test.each(harmless)('%s: apt does not notice', async (scenario, happened, excused) => {
    const result = await herd([...four, '--scenario', scenario]);
    expect(result.said).toContain(happened);
    expect(result.finished).toHaveLength(4);
    const others = result.blames.filter((blame) => !excused.some((each) => each === blame));
    expect(others).toEqual([]);
  });

  test('wan-cut: what has come in once is enough for all', async () => {
    // The links are the narrow place: upstream has given all when the machines are half way.
    const links = ['--lan', '20mbit', '--wan', '100mbit'];
    const result = await herd([...four, ...links, '--scenario', 'wan-cut']);
    expect(result.said).toContain('cut the WAN');
    expect(result.finished).toHaveLength(4);
    expect(result.upstreamRequests).toBe(result.uniqueNames);
    expect(result.blames).toEqual([]);
  });

  test('warm: upstream is not asked for what one machine has', async () => {
    const result = await herd([...four, '--scenario', 'warm', '--object-size', '10mb']);
    expect(result.finished).toHaveLength(3);
    expect(result).toMatchObject({ upstreamRequests: 0, blames: [] });
  });

  test('update: each of 21 archives is asked once for what changed', async () => {
    const result = await herd([...four, '--scenario', 'update']);
    expect(result.finished).toHaveLength(4);
    expect(result.wanAmplification).toBeLessThanOrEqual(1.01);
    expect(result.upstreamRequests).toBe(result.uniqueNames);
    expect(result.uniqueNames).toBeGreaterThanOrEqual(2 * 21);
    expect(result.blames).toEqual([]);
  });

  test('slow-peer: nobody else is held up or named', async () => {
    const result = await herd([...four, '--scenario', 'slow-peer']);
    expect(result.said).toContain('n1 has a tenth of the rate');
    expect(result.finished).toHaveLength(3);
    // What it owns, chance decides; others may fetch that anew rather than wait for it.
    expect(result.wanAmplification).toBeLessThanOrEqual(1.4);
    expect(result.blames.filter((blame) => !blame.startsWith('n1 '))).toEqual([]);
  });

  test('corrupt-peer: it is named, and nobody else', async () => {
    const result = await herd([...four, '--scenario', 'corrupt-peer']);
    expect(result.finished).toHaveLength(4);
    expect(result.blames).toEqual(['n1 corrupt']);
  });
});
