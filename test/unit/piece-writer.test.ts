// What a peer is told of an object that is coming in: pieces first, whatever else is to be said.
import { expect, test } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { writePieces } from '../../node/doors/peer/piece-writer.ts';
import { HerdError } from '../../node/errors.ts';
import type { Boarding } from '../../node/fetch/flights.ts';
import { Flight } from '../../node/flight/flight.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { silentLog } from '../../node/platform/log.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import type { PieceRange } from '../../node/transfer/source.ts';
import type { FrameSink } from '../../node/wire/frame-writer.ts';
import { encode, type Frame, FrameDecoder } from '../../node/wire/frames.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const body = Buffer.alloc(3 * PIECE_BYTES, 'piece');

function sinkInto(frames: Frame[]): FrameSink {
  const decoder = new FrameDecoder(new PiecePool(), (frame) => frames.push(frame));
  return {
    gone: false,
    left: new Promise(() => {}),
    piece: async (index, hash, bytes) => {
      decoder.push(encode.pieceHead(index, hash, bytes.length));
      decoder.push(bytes);
    },
    write: async (frame) => decoder.push(frame),
    end: (last) => void (last && decoder.push(last)),
    destroy: () => {},
  };
}

/** A flight with its first `have` pieces, and what is written of it to a peer. */
async function writing(have: number, feeder: { passedOn?: boolean; narrow?: boolean } = {}) {
  const clock = new ManualClock();
  const pool = new PiecePool();
  const digest = digestOf(body);
  const url = 'http://archive.ubuntu.com/ubuntu/pool/main/b/big/big_1_amd64.deb';
  const deps = { pool, store: new MemoryStore(), clock, log: silentLog };
  const flight = new Flight(deps, { key: digest, digest, size: body.length, url });
  await flight.open();
  const append = (index: number) =>
    flight.append(index, body.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES));
  for (let index = 0; index < have; index++) await append(index);
  const frames: Frame[] = [];
  const boarding = { flight, feeder: { rootAgeMs: 7, ...feeder } } as unknown as Boarding;
  const write = (range: PieceRange) =>
    writePieces(
      { pool, clock, counters: new Counters() },
      sinkInto(frames),
      { kind: 'flight', boarding },
      range,
    );
  const told = () =>
    frames.map((frame) => {
      if (frame.type === 'piece') return frame.index;
      return frame.type === 'fail' ? frame.error.code : frame.type;
    });
  return { flight, clock, append, write, told };
}

test('what is here is given before others are told to fetch the rest', async () => {
  const { write, told } = await writing(2, { passedOn: true });
  expect(await write({ from: 0 })).toBe(false);
  expect(told()).toEqual(['meta', 0, 1, 'PASSED_ON']);
});

test('who has all of it gives it, passed on or not', async () => {
  const { write, told } = await writing(3, { passedOn: true, narrow: true });
  expect(await write({ from: 1 })).toBe(true);
  expect(told()).toEqual(['meta', 1, 2, 'end']);
});

test('a flight that failed after it was passed on: the next in rank is not to blame', async () => {
  const { flight, write, told } = await writing(1, { passedOn: true });
  await flight.fail(new HerdError('NO_SOURCE', 'nobody has it'));
  await write({ from: 1 });
  expect(told()).toEqual(['meta', 'PASSED_ON']);
});

test.each([
  ['to its end', { from: 0 }],
  ['in part', { from: 0, to: 2 }],
])('a flight that failed, wanted %s: why, after what it has', async (_, range) => {
  const { flight, write, told } = await writing(1);
  const written = write(range);
  await flight.fail(new HerdError('NO_SOURCE', 'nobody has it'));
  expect(await written).toBe(false);
  expect(told()).toEqual(['meta', 0, 'NO_SOURCE']);
});

test('with an end named nobody is waited for, not even through a narrow link', async () => {
  const { write, told } = await writing(1, { narrow: true });
  expect(await write({ from: 0, to: 2 })).toBe(true);
  expect(told()).toEqual(['meta', 0]);
});

test('through a narrow link what is here is given, and no more waited for', async () => {
  const { write, told } = await writing(1, { narrow: true });
  await write({ from: 0 });
  expect(told()).toEqual(['meta', 0, 'PASSED_ON']);
});

test('whoever waits hears how old the news are, and gets what comes', async () => {
  const { clock, append, write, told } = await writing(1);
  const written = write({ from: 0 });
  for (let second = 0; second < 2; second++) {
    for (let n = 0; n < 20; n++) await null;
    clock.advance(1_000);
  }
  await append(1);
  await append(2);
  expect(await written).toBe(true);
  expect(told()).toEqual(['meta', 0, 'wait', 1, 2, 'end']);
});
