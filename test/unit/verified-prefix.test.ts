// The hashes of an object that grows, as peers and the store get them.
import { expect, test } from 'vitest';
import { digestOf, sha256 } from '../../node/content/digest.ts';
import { VerifiedPrefix } from '../../node/flight/verified-prefix.ts';

const pieces = Array.from({ length: 20 }, (_, index) => Buffer.alloc(10 + index, index));

function prefixOf(parts: readonly Buffer[], prefix = new VerifiedPrefix()): VerifiedPrefix {
  for (const bytes of parts) prefix.add(bytes, sha256(bytes));
  return prefix;
}

test('has the hash of every piece, however many there are', () => {
  const prefix = new VerifiedPrefix();
  prefix.add(pieces[0]!, sha256(pieces[0]!));
  const early = prefix.hash(0);
  prefixOf(pieces.slice(1), prefix);
  expect(prefix.hashes()).toEqual(Buffer.concat(pieces.map(sha256)));
  for (const [index, bytes] of pieces.entries()) expect(prefix.hash(index)).toEqual(sha256(bytes));
  expect(early).toEqual(sha256(pieces[0]!));
  expect([prefix.pieces, prefix.bytes]).toEqual([20, Buffer.concat(pieces).length]);
  expect(prefix.digest()).toBe(digestOf(Buffer.concat(pieces)));
});

test('forgets all when it starts over', () => {
  const prefix = prefixOf(pieces);
  prefix.startOver();
  expect([prefix.pieces, prefix.bytes, prefix.hashes().length]).toEqual([0, 0, 0]);
  prefixOf(pieces.slice(3, 5), prefix);
  expect(prefix.hashes()).toEqual(Buffer.concat(pieces.slice(3, 5).map(sha256)));
  expect(prefix.digest()).toBe(digestOf(Buffer.concat(pieces.slice(3, 5))));
});
