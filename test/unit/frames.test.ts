// The piece stream: what is written comes out again however it is cut, and rubbish is refused.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { HerdError } from '../../node/errors.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { encode, type Frame, FrameDecoder } from '../../node/wire/frames.ts';

const meta = fc.record(
  { size: fc.nat(), lastModified: fc.string(), contentType: fc.string() },
  { requiredKeys: [] },
);
const bytes = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((array) => Buffer.from(array));
const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const frame: fc.Arbitrary<Frame> = fc.oneof(
  meta.map((meta) => ({ type: 'meta' as const, meta })),
  fc.record({
    type: fc.constant('piece' as const),
    index: uint32,
    hash: bytes(32, 32),
    bytes: bytes(1, 400),
  }),
  fc.string().map((kind) => ({ type: 'name' as const, answer: { kind } })),
  uint32.map((ageMs) => ({ type: 'wait' as const, ageMs })),
  uint32.map((pieces) => ({ type: 'end' as const, pieces })),
  fc.string().map((message) => ({
    type: 'fail' as const,
    error: new HerdError('NO_SOURCE', message, { tried: [message] }).toJSON(),
  })),
);

function wire(frame: Frame): Buffer {
  switch (frame.type) {
    case 'name':
      return encode.name(frame.answer);
    case 'meta':
      return encode.meta(frame.meta);
    case 'piece': {
      const { index, hash, bytes } = frame;
      return Buffer.concat([encode.pieceHead(index, hash, bytes.length), bytes]);
    }
    case 'wait':
      return encode.wait(frame.ageMs);
    case 'end':
      return encode.end(frame.pieces);
    case 'fail':
      return encode.fail(frame.error);
  }
}

function decode(chunks: Iterable<Buffer>): { frames: Frame[]; whole: boolean } {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder(new PiecePool(), (frame) => frames.push(frame));
  for (const chunk of chunks) decoder.push(chunk);
  return { frames, whole: decoder.atBoundary };
}

/** Cuts `all` at the given places. */
function cut(all: Buffer, places: readonly number[]): Buffer[] {
  const sorted = places.map((place) => place % (all.length + 1)).sort((a, b) => a - b);
  return [0, ...sorted].map((from, n) => all.subarray(from, sorted[n] ?? all.length));
}

describe('frames', () => {
  test('come out as they went in, however they are cut', () => {
    fc.assert(
      fc.property(fc.array(frame), fc.array(fc.nat(), { maxLength: 30 }), (frames, places) => {
        const all = Buffer.concat(frames.map(wire));
        expect(decode(cut(all, places))).toEqual({ frames, whole: true });
        expect(decode([...all].map((byte) => Buffer.of(byte))).frames).toEqual(frames);
      }),
      { numRuns: 60 },
    );
  });

  test('a stream that is cut within a frame is known to be', () => {
    fc.assert(
      fc.property(frame, fc.nat(), (frame, at) => {
        const all = wire(frame);
        const length = 1 + (at % (all.length - 1));
        expect(decode([all.subarray(0, length)])).toEqual({ frames: [], whole: false });
      }),
      { numRuns: 60 },
    );
  });

  test('rubbish gives SOURCE_FAILED or frames, never another error', () => {
    fc.assert(
      fc.property(bytes(1, 300), (rubbish) => {
        try {
          decode([rubbish]);
        } catch (error) {
          expect(error).toMatchObject({ name: 'HerdError', code: 'SOURCE_FAILED' });
        }
      }),
      { numRuns: 300 },
    );
  });

  const head = (type: number, length: number) => {
    const buffer = Buffer.alloc(8);
    buffer.writeUInt32BE(type * 2 ** 24 + length);
    return buffer;
  };

  test.each([
    ['an unknown type', head(9, 0)],
    ['a piece longer than a piece', head(2, 32 + PIECE_BYTES + 1)],
    ['a piece without bytes', Buffer.concat([head(2, 32), Buffer.alloc(32)])],
    ['a META longer than 64 KiB', head(1, 64 * 1024 + 1)],
    ['a META that is not JSON', Buffer.concat([head(1, 1), Buffer.from('{')])],
    ['a META that is no object', Buffer.concat([head(1, 4), Buffer.from('null')])],
    ['a META whose size is no size', Buffer.concat([head(1, 11), Buffer.from('{"size":-1}')])],
    ['a FAIL that is no object', Buffer.concat([head(5, 1), Buffer.from('1')])],
    ['an END with a payload', Buffer.concat([head(4, 1), Buffer.from('1')])],
  ])('%s is refused', (_what, rubbish) => {
    const refused = expect.objectContaining({ code: 'SOURCE_FAILED' });
    expect(() => decode([rubbish])).toThrow(refused);
  });

  test('what is no value of a header, or no error of ours, does not come through', () => {
    const lines = { size: 1, lastModified: 'a\nb', contentType: 'x/y\r\nz: a' };
    const error = { code: 'toString', status: 1e9, message: 'no', tried: [] } as never;
    expect(decode([encode.meta(lines), encode.fail(error)]).frames).toEqual([
      { type: 'meta', meta: { size: 1 } },
      { type: 'fail', error: { code: 'INTERNAL', status: 500, message: 'no', tried: [] } },
    ]);
  });

  test('the largest piece passes', () => {
    const bytes = Buffer.alloc(PIECE_BYTES, 7);
    const frame: Frame = { type: 'piece', index: 3, hash: Buffer.alloc(32, 1), bytes };
    expect(decode([wire(frame)]).frames).toEqual([frame]);
  });

  test('a WAIT of any age is written', () => {
    expect(decode([encode.wait(-1), encode.wait(1.5), encode.wait(1e12)]).frames).toEqual([
      { type: 'wait', ageMs: 0 },
      { type: 'wait', ageMs: 2 },
      { type: 'wait', ageMs: 0xffffffff },
    ]);
  });
});
