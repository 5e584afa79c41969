// Writes an object to a peer as a piece stream, whole or as it comes in.
import type { PiecePool } from '../../content/piece-pool.ts';
import { pooledRead } from '../../content/pooled-read.ts';
import { HerdError } from '../../errors.ts';
import type { Boarding } from '../../fetch/flights.ts';
import type { Supply } from '../../fetch/supply.ts';
import { PIECE_BYTES, pieceCount } from '../../limits.ts';
import type { Counters } from '../../metrics/counters.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import type { ObjectReader } from '../../store/store.ts';
import type { PieceRange } from '../../transfer/source.ts';
import type { FrameSink } from '../../wire/frame-writer.ts';
import { encode } from '../../wire/frames.ts';

/** How often a peer hears from us while there is nothing to send. */
const WAIT_EVERY_MS = 1_000;

export interface WriterDeps {
  readonly pool: PiecePool;
  readonly clock: Clock;
  readonly counters: Counters;
  /** Every piece on its way out, for faults in tests and the lab. */
  readonly outgoing?: Outgoing | undefined;
}

export type Outgoing = (index: number, bytes: Buffer, sink: FrameSink) => Promise<Buffer>;

/**
 * Resolves to true when all of the range was written, false when the peer went away. Of a range
 * with an end only what is here already is given: whoever names an end knows what there is, and may
 * be the one who is waited for.
 */
export async function writePieces(
  deps: WriterDeps,
  out: FrameSink,
  supply: Supply,
  range: PieceRange,
): Promise<boolean> {
  try {
    const last = await (supply.kind === 'stored'
      ? writeStored(deps, out, supply.object, range)
      : writeFlight(deps, out, supply.boarding, range));
    out.end(last);
    return !out.gone;
  } catch (error) {
    out.end(encode.fail(HerdError.of(error).toJSON()));
    return false;
  }
}

/** Resolves to the last frame, if the range ends with the object. */
async function writeStored(
  deps: WriterDeps,
  out: FrameSink,
  object: ObjectReader,
  range: PieceRange,
): Promise<Buffer | undefined> {
  const { size, lastModified, pieceHashes } = object;
  await out.write(encode.meta({ size, ...(lastModified === undefined ? {} : { lastModified }) }));
  const total = pieceCount(size);
  const to = Math.min(range.to ?? total, total);
  for (let index = range.from; index < to && !out.gone; index++) {
    const offset = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, size - offset);
    const piece = await pooledRead(deps.pool, object, offset, length);
    const hash = pieceHashes.subarray(index * 32, index * 32 + 32);
    await writePiece(deps, out, { index, hash, ...piece });
  }
  return to === total ? encode.end(total) : undefined;
}

/** Resolves to the last frame, if the range ends with the object. */
async function writeFlight(
  deps: WriterDeps,
  out: FrameSink,
  { flight, feeder }: Boarding,
  range: PieceRange,
): Promise<Buffer | undefined> {
  const reader = flight.read(range.from, false);
  let tick: Timer | undefined;
  try {
    await out.write(encode.meta(flight.meta));
    // One timer for the whole stream: news of the flight that are none for this peer do not count.
    let silent = false;
    tick = deps.clock.every(WAIT_EVERY_MS, () => {
      if (silent && reader.status === 'waiting') {
        void out.write(encode.wait(feeder.rootAgeMs));
      }
      silent = true;
    });
    for (let described = flight.meta; !out.gone; ) {
      if (reader.index >= (range.to ?? Infinity)) break;
      if (described !== flight.meta) {
        described = flight.meta;
        await out.write(encode.meta(described));
      }
      if (reader.status === 'piece') {
        silent = false;
        await writePiece(deps, out, await reader.next());
      } else if (reader.status === 'end') {
        return encode.end(flight.pieces);
      } else if (feeder.passedOn) {
        throw passedOn();
      } else if (reader.status === 'failed') {
        throw flight.error ?? new HerdError('SOURCE_FAILED', 'the transfer ended early');
      } else if (range.to !== undefined) {
        break;
      } else if (feeder.narrow) {
        throw passedOn();
      } else {
        await Promise.race([flight.changed(), out.left]);
      }
    }
    return undefined;
  } finally {
    tick?.cancel();
    reader.close();
  }
}

function passedOn(): HerdError {
  return new HerdError('PASSED_ON', 'others have wider links');
}

interface OutgoingPiece {
  readonly index: number;
  readonly hash: Buffer;
  readonly bytes: Buffer;
  readonly release?: () => void;
}

async function writePiece(deps: WriterDeps, out: FrameSink, piece: OutgoingPiece): Promise<void> {
  const { index, hash, release } = piece;
  const bytes = deps.outgoing ? await deps.outgoing(index, piece.bytes, out) : piece.bytes;
  if (out.gone) {
    release?.();
    return;
  }
  deps.counters.add('sent.bytes.peer', bytes.length);
  await out.piece(index, hash, bytes, release);
}
