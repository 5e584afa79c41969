import { expect, test } from 'vitest';
import { protocolsOf, sharedProtocol } from '../../node/wire/protocol.ts';

test('a machine speaks its own protocol and the one before it', () => {
  expect([1, 2, 3].map(protocolsOf)).toEqual([[1], [2, 1], [3, 2]]);
});

test.each([
  [1, 1, 1],
  [1, 2, 1],
  [2, 2, 2],
  [2, 3, 2],
  [3, 3, 3],
  [1, 3, undefined],
  [1, 0, undefined],
])('of %d and %d the newest that both speak is %s', (a, b, shared) => {
  expect([sharedProtocol(a, b), sharedProtocol(b, a)]).toEqual([shared, shared]);
});
