import { expect, it } from 'vitest';
import { addUp, closingLine, isGood, tallyOf } from '../tally.ts';

const report = { numPassedTests: 3, numFailedTests: 0, numPendingTests: 1, numTodoTests: 1 };

it('counts passed, failed and skipped', () => {
  const total = addUp([tallyOf(report, 0), { passed: 1, failed: 0, skipped: 0 }]);
  expect(closingLine(total)).toBe('4 passed, 0 failed, 2 skipped');
});

it('counts a suite that ended badly without a failed test', () => {
  expect(tallyOf(report, 1).failed).toBe(1);
  expect(tallyOf(undefined, 0).failed).toBe(1);
  expect(tallyOf({ ...report, numFailedTests: 2 }, 1).failed).toBe(2);
});

it('is good without failures, in CI without skipped tests too, and never when empty', () => {
  const skipping = { passed: 1, failed: 0, skipped: 1 };
  expect([isGood(skipping, false), isGood(skipping, true)]).toEqual([true, false]);
  expect(isGood({ passed: 1, failed: 1, skipped: 0 }, false)).toBe(false);
  expect(isGood({ passed: 0, failed: 0, skipped: 0 }, false)).toBe(false);
});
