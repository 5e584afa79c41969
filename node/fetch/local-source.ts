// What this node has, or is getting, as a source of bytes for another flight: that of a file whose
// digest nobody knows, when it is gone where it came from and has been found elsewhere.
import type { PiecePool } from '../content/piece-pool.ts';
import { pooledRead } from '../content/pooled-read.ts';
import { HerdError } from '../errors.ts';
import { PIECE_BYTES, pieceCount } from '../limits.ts';
import type { Call } from '../metrics/ways.ts';
import type { ObjectReader } from '../store/store.ts';
import type { PieceRange, Source, SourceFrame, SourceStream, Wanted } from '../transfer/source.ts';
import type { StreamMeta } from '../wire/frames.ts';
import type { Boarding } from './flights.ts';
import { letGo, type Supply } from './supply.ts';

export class LocalSource implements Source {
  readonly origin = { kind: 'local' } as const;
  /** It may be another version of the file. */
  readonly supports = { resume: false };
  readonly #pool: PiecePool;
  readonly #supply: Supply;

  /** Lets go of `supply` when its stream ends. */
  constructor(deps: { readonly pool: PiecePool }, supply: Supply) {
    this.#pool = deps.pool;
    this.#supply = supply;
  }

  async open(_wanted: Wanted, _range: PieceRange, { signal }: Call): Promise<SourceStream> {
    const supply = this.#supply;
    const left = Promise.withResolvers<void>();
    const frames =
      supply.kind === 'stored'
        ? storedFrames(this.#pool, supply.object)
        : flightFrames(this.#pool, supply.boarding, left.promise);
    const end = () => {
      left.resolve();
      void frames.return(undefined).finally(() => letGo(supply));
    };
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    return { next: async () => (await frames.next()).value, cancel: end, done: end };
  }
}

type Frames = AsyncGenerator<SourceFrame, undefined>;

async function* storedFrames(pool: PiecePool, object: ObjectReader): Frames {
  const { size, lastModified, pieceHashes } = object;
  yield { type: 'meta', meta: { size, ...(lastModified === undefined ? {} : { lastModified }) } };
  const pieces = pieceCount(size);
  for (let index = 0; index < pieces; index++) {
    const offset = index * PIECE_BYTES;
    // Its memory is the reader's from here on.
    const { bytes } = await pooledRead(pool, object, offset, Math.min(PIECE_BYTES, size - offset));
    const hash = pieceHashes.subarray(index * 32, index * 32 + 32);
    yield { type: 'piece', index, hash, bytes };
  }
  yield { type: 'end', pieces };
}

async function* flightFrames(pool: PiecePool, { flight }: Boarding, left: Promise<void>): Frames {
  const reader = flight.read(0, false);
  let gone = false;
  void left.then(() => {
    gone = true;
  });
  try {
    for (let described: StreamMeta | undefined; !gone; ) {
      if (described !== flight.meta) {
        described = flight.meta;
        yield { type: 'meta', meta: described };
      } else if (reader.status === 'piece') {
        const { index, hash, bytes, release } = await reader.next();
        const copy = pool.take(bytes.length);
        bytes.copy(copy);
        release();
        yield { type: 'piece', index, hash, bytes: copy };
      } else if (reader.status === 'end') {
        yield { type: 'end', pieces: flight.pieces };
        return undefined;
      } else if (reader.status === 'failed') {
        throw flight.error ?? new HerdError('SOURCE_FAILED', 'the transfer ended early');
      } else await Promise.race([flight.changed(), left]);
    }
    return undefined;
  } finally {
    reader.close();
  }
}
