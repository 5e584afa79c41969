import { expect, test } from 'vitest';
import type { Digest } from '../../node/content/digest.ts';
import { ProgressReports } from '../../node/fetch/progress-reports.ts';
import { MiB } from '../../node/limits.ts';
import type { ProgressAnswer } from '../../node/transfer/peers.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';

const settled = () => new Promise((resolve) => process.nextTick(resolve));

function fixture(size: number) {
  const clock = new ManualClock();
  const asked: { answer(move?: 'slow' | 'behind'): void }[] = [];
  const progress = () => {
    const { promise, resolve } = Promise.withResolvers<ProgressAnswer>();
    asked.push({ answer: (move) => resolve(move ? { move } : {}) });
    return promise;
  };
  const reports = new ProgressReports(
    { clock, fleet: { self: memberFixture(1) }, peers: { progress }, links },
    { meta: { size }, pieces: 0 },
    { digest: 'a'.repeat(64) as Digest, stop: new AbortController().signal },
  );
  const moves: string[] = [];
  reports.watch(memberFixture(2), memberFixture(3), (move) => moves.push(move));
  return { clock, asked, moves };
}

const links = { hasRoom: true, news: {} };

test('a large object: each second, until the owner knows better', async () => {
  const { clock, asked, moves } = fixture(5 * MiB);
  clock.advance(1_000);
  asked[0]!.answer();
  await settled();
  clock.advance(1_000);
  asked[1]!.answer('slow');
  await settled();
  expect([asked.length, moves]).toEqual([2, ['slow']]);
});

test('an owner that does not answer is asked no second time meanwhile', async () => {
  const { clock, asked } = fixture(5 * MiB);
  clock.advance(5_000);
  expect(asked.length).toBe(1);
  asked[0]!.answer();
  await settled();
  clock.advance(1_000);
  expect(asked.length).toBe(2);
});

test('a small one only when it takes long', () => {
  const { clock, asked } = fixture(MiB);
  clock.advance(2_000);
  expect(asked.length).toBe(0);
  clock.advance(1_000);
  expect(asked.length).toBe(1);
});
