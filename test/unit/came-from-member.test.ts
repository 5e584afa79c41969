import { expect, test } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { cameFromMember } from '../../node/fetch/came-from-member.ts';
import type { FlightReport } from '../../node/fetch/flights.ts';

const digest = digestOf('an object');

test.each([
  ['upstream', 'member', true],
  ['none', 'member', true],
  ['ws-1', 'member', true],
  ['upstream', 'upstream', false],
  ['none', 'none', false],
] as const)('a source called %s that is of the kind %s', (source, sourceKind, expected) => {
  const report = () => [{ object: digest, source, sourceKind }] as unknown as FlightReport[];
  expect(cameFromMember({ report }, digest)).toBe(expected);
});
