import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../node/content/digest.ts';
import { PieceHasher, PieceHashes } from '../../node/content/piece-hashes.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { body } from '../contract/store.contract.ts';

function plainly(bytes: Buffer): Buffer {
  const hashes: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    hashes.push(sha256(bytes.subarray(at, at + PIECE_BYTES)));
  }
  return Buffer.concat(hashes);
}

describe('PieceHasher', () => {
  const size = fc.integer({ min: 0, max: PIECE_BYTES * 4 });
  it('gives the same hashes however the bytes are cut', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: PIECE_BYTES * 2 }), { maxLength: 6 });
    fc.assert(
      fc.property(size, cuts, (length, lengths) => {
        const bytes = body(length);
        const hasher = new PieceHasher();
        let at = 0;
        for (const cut of [...lengths, length]) {
          expect(hasher.update(bytes.subarray(at, at + cut))).toBe(
            Math.floor(Math.min(length, at + cut) / PIECE_BYTES),
          );
          at = Math.min(length, at + cut);
        }
        expect(hasher.end().equals(plainly(bytes))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('continues after known pieces', () => {
    const bytes = body(PIECE_BYTES * 2.5);
    const hasher = new PieceHasher(plainly(bytes).subarray(0, 32));
    hasher.update(bytes.subarray(PIECE_BYTES));
    expect(hasher.end().equals(plainly(bytes))).toBe(true);
  });
});

describe('PieceHashes', () => {
  it('grows and verifies', () => {
    const bytes = body(PIECE_BYTES * 3 - 5);
    const all = plainly(bytes);
    const hashes = new PieceHashes();
    expect(hashes.at(0)).toBeUndefined();
    expect(hashes.verify(0, bytes.subarray(0, PIECE_BYTES))).toBe(false);
    hashes.append(all.subarray(0, 32));
    hashes.append(all.subarray(32));
    expect(hashes.count).toBe(3);
    expect(hashes.slice().equals(all)).toBe(true);
    expect(hashes.slice(2).equals(all.subarray(64))).toBe(true);
    expect(hashes.slice(9).length).toBe(0);
    expect(hashes.verify(2, bytes.subarray(PIECE_BYTES * 2))).toBe(true);
    expect(hashes.verify(1, bytes.subarray(PIECE_BYTES * 2))).toBe(false);
    expect(hashes.at(3)).toBeUndefined();
    expect(() => hashes.append(Buffer.alloc(31))).toThrow(RangeError);
  });
});
