// Frames that wait to be taken: whatever they are, there is an end to their memory.
import { expect, test } from 'vitest';
import { sha256 } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { KiB, PIECE_BYTES } from '../../node/limits.ts';
import { HttpPieceStream } from '../../node/transfer/peer/http-piece-stream.ts';
import { encode } from '../../node/wire/frames.ts';
import type { Exchange } from '../../node/wire/peer-exchange.ts';

class FakeExchange implements Exchange {
  paused = false;
  abort(reason: Error) {
    throw reason;
  }
  pause() {
    this.paused = true;
  }
  resume() {
    this.paused = false;
  }
}

function piece(length: number): Buffer {
  const bytes = Buffer.alloc(length, 'x');
  return Buffer.concat([encode.pieceHead(0, sha256(bytes), length), bytes]);
}

/** How many of `frame` are read before the connection is paused. */
function untilPaused(frame: Buffer) {
  const exchange = new FakeExchange();
  const stream = new HttpPieceStream(new PiecePool(), 'peer', exchange, () => {});
  let frames = 0;
  for (; !exchange.paused && frames < 3_000; frames++) stream.push(frame);
  return { frames, exchange, stream };
}

test.each([
  ['WAIT', encode.wait(0), 2_000],
  ['PIECE of one byte', piece(1), 2_000],
  ['META', encode.meta({ size: 5 }), 2_000],
  ['long META', encode.meta({ contentType: 'x'.repeat(60 * KiB) }), 12],
  ['whole PIECE', piece(PIECE_BYTES), 5],
])('nobody takes them: %s frames pause the connection', (_what, frame, atMost) => {
  expect(untilPaused(frame).frames).toBeLessThanOrEqual(atMost);
});

test('half of them taken: it goes on', async () => {
  const { frames, exchange, stream } = untilPaused(piece(PIECE_BYTES));
  expect(frames).toBe(5);
  for (const paused of [true, true, false]) {
    await stream.next();
    expect(exchange.paused).toBe(paused);
  }
});
