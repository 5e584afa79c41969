import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../node/content/digest.ts';
import { PieceHasher } from '../../node/content/piece-hashes.ts';
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

  it('gives what it has from any piece on', () => {
    const bytes = body(PIECE_BYTES * 3);
    const hasher = new PieceHasher();
    hasher.update(bytes);
    const from = (piece: number) => hasher.hashes.slice(piece);
    expect([from(2).equals(plainly(bytes).subarray(64)), from(9).length]).toEqual([true, 0]);
  });
});
