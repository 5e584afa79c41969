// What every source of bytes must do, as whoever takes them relies on it (node/fetch/feeding.ts).
// Called with a way to make one: see test/unit/source.test.ts. A source of another technology, such
// as WebTorrent, passes this suite before anything asks it.
import { afterEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../node/content/digest.ts';
import { HerdError } from '../../node/errors.ts';
import { PIECE_BYTES, pieceCount } from '../../node/limits.ts';
import type { Call } from '../../node/metrics/ways.ts';
import type {
  PieceRange,
  Source,
  SourceFrame,
  SourceStream,
  Wanted,
} from '../../node/transfer/source.ts';
import { body } from './store.contract.ts';

export interface SourceFixture {
  readonly source: Source;
  readonly wanted: Wanted;
  /** Connections, bodies, readers and objects that are open behind the source. */
  open(): number;
  /** What the source waits for fails. */
  breakOff?(): unknown;
  /** Removes what the fixture made. */
  remove?(): unknown;
}

export interface SourceOrder {
  /** What there is; `undefined`: nothing under that key. */
  readonly bytes: Buffer | undefined;
  /** Only the first of its pieces, and the source waits for the others. */
  readonly pieces?: number;
}

export type MakeSource = (order: SourceOrder) => Promise<SourceFixture>;

/** What is known of an implementation. */
export interface SourceTraits {
  /** Pieces come with their hashes. */
  readonly hashes: boolean;
  /** It gives what is still coming in, and waits for it. */
  readonly waits: boolean;
  /** It may be asked for what it does not have. */
  readonly misses: boolean;
}

export function sourceContract(name: string, traits: SourceTraits, make: MakeSource): void {
  describe(`${name} is a source`, { timeout: 5_000 }, () => {
    const made: SourceFixture[] = [];
    const fixture = async (order: SourceOrder) => {
      const one = await make(order);
      made.push(one);
      return one;
    };
    afterEach(async () => {
      for (const one of made.splice(0)) await one.remove?.();
    });

    for (const size of [0, 1, PIECE_BYTES, PIECE_BYTES * 3.5]) {
      it(`gives ${size} bytes: what they are, pieces in order, the end`, async () => {
        await gives(fixture, body(size), { from: 0 }, traits);
      });
    }
    ranges(fixture, traits);
    ends(fixture);
    if (traits.waits) waits(fixture);
    if (traits.misses) misses(fixture);
  });
}

function ranges(fixture: MakeSource, traits: SourceTraits): void {
  const bytes = body(PIECE_BYTES * 3.5);

  it('begins in the middle where it can resume, else at the start', async () => {
    for (const from of [1, 3]) await gives(fixture, bytes, { from }, traits);
  });

  it('gives what is asked for before anything else', async () => {
    const { source, wanted } = await fixture({ bytes });
    const stream = await opened(source, wanted, { from: 1, to: 3 });
    const first = source.supports.resume ? 1 : 0;
    const indexes: number[] = [];
    while (indexes.length < 3 - first) {
      const frame = await stream.next();
      if (frame?.type === 'piece') indexes.push(frame.index);
      else expect(frame?.type).toBe('meta');
    }
    expect(indexes).toEqual([0, 1, 2].slice(first));
    stream.cancel();
  });
}

function ends(fixture: MakeSource): void {
  const bytes = body(PIECE_BYTES * 2.5);

  it('lets go of everything when all has come', async () => {
    const { source, wanted, open } = await fixture({ bytes });
    const stream = await opened(source, wanted);
    await upTo(stream, 3);
    stream.done();
    await expect.poll(open, { interval: 5 }).toBe(0);
  });

  it('lets go of everything in the middle, at the start, and once alone', async () => {
    for (const pieces of [0, 1]) {
      const { source, wanted, open } = await fixture({ bytes });
      const stream = await opened(source, wanted);
      await upTo(stream, pieces);
      stream.cancel();
      stream.cancel();
      await expect.poll(open, { interval: 5 }).toBe(0);
    }
  });

  it('may be let go of after its end', async () => {
    const { source, wanted, open } = await fixture({ bytes });
    const stream = await opened(source, wanted);
    await framesOf(stream);
    stream.done();
    stream.cancel();
    await expect.poll(open, { interval: 5 }).toBe(0);
  });

  it('gives nothing to who no longer wants it when it is asked', async () => {
    const { source, wanted, open } = await fixture({ bytes });
    const signal = AbortSignal.abort();
    const frames = source
      .open(wanted, { from: 0 }, { signal })
      .then((stream) => framesOf(stream!))
      .catch(() => []);
    expect((await frames).map(({ type }) => type)).not.toContain('end');
    await expect.poll(open, { interval: 5 }).toBe(0);
  });
}

function waits(fixture: MakeSource): void {
  const bytes = body(PIECE_BYTES * 2.5);

  /** A stream of which one piece has been taken, and `next` waits for another. */
  async function waiting(signal?: AbortSignal) {
    const made = await fixture({ bytes, pieces: 1 });
    const stream = await opened(made.source, made.wanted, { from: 0 }, signal);
    await upTo(stream, 1);
    const last = stream.next().catch((error: unknown) => error);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(made.open()).toBeGreaterThan(0);
    return { ...made, stream, last };
  }

  it('ends while the reader waits, when it is let go of', async () => {
    const { stream, last, open } = await waiting();
    stream.cancel();
    expect(endOf(await last)).toBe('ended');
    await expect.poll(open, { interval: 5 }).toBe(0);
  });

  it('ends while the reader waits, when the signal says so', async () => {
    const control = new AbortController();
    const { last, open } = await waiting(control.signal);
    control.abort();
    expect(endOf(await last)).toBe('ended');
    await expect.poll(open, { interval: 5 }).toBe(0);
  });

  it('tells that it breaks off, and lets go of everything', async () => {
    const { stream, last, breakOff, open } = await waiting();
    await breakOff!();
    const error = await last;
    const failed = error instanceof HerdError || (error as SourceFrame | undefined)?.type;
    expect([true, 'fail']).toContain(failed);
    stream.cancel();
    await expect.poll(open, { interval: 5 }).toBe(0);
  });
}

function misses(fixture: MakeSource): void {
  it('says that something is not there, and holds nothing', async () => {
    const { source, wanted, open } = await fixture({ bytes: undefined });
    const opening = source.open(wanted, { from: 0 }, callOf());
    const answer = await opening.catch((error: unknown) => error);
    if (answer !== undefined) expect(answer).toMatchObject({ code: 'NOT_FOUND' });
    await expect.poll(open, { interval: 5 }).toBe(0);
  });
}

async function gives(
  fixture: MakeSource,
  bytes: Buffer,
  range: PieceRange,
  { hashes }: SourceTraits,
): Promise<void> {
  const { source, wanted, open } = await fixture({ bytes });
  const stream = await opened(source, wanted, range);
  const frames = await framesOf(stream);
  stream.done();
  expect(frames[0]).toMatchObject({ type: 'meta' });
  const first = source.supports.resume ? range.from : 0;
  const total = pieceCount(bytes.length);
  // As they are at the end: nobody uses the memory of what was given before.
  const pieces = frames.filter((frame) => frame.type === 'piece');
  expect(pieces.map(({ index }) => index)).toEqual(
    Array.from({ length: total - first }, (_, at) => first + at),
  );
  const taken = Buffer.concat(pieces.map((piece) => piece.bytes));
  expect(taken.equals(bytes.subarray(first * PIECE_BYTES))).toBe(true);
  for (const piece of pieces) {
    if (hashes) expect(piece.hash).toBeDefined();
    if (piece.hash) expect(piece.hash.equals(sha256(piece.bytes))).toBe(true);
  }
  const sizes = frames.flatMap((frame) => (frame.type === 'meta' ? frame.meta.size : []));
  expect(sizes.filter((size) => size !== undefined && size !== bytes.length)).toEqual([]);
  expect(frames.at(-1)).toEqual({ type: 'end', pieces: total });
  await expect.poll(open, { interval: 5 }).toBe(0);
}

async function opened(
  source: Source,
  wanted: Wanted,
  range: PieceRange = { from: 0 },
  signal?: AbortSignal,
): Promise<SourceStream> {
  const stream = await source.open(wanted, range, callOf(signal));
  expect(stream).toBeDefined();
  return stream!;
}

function callOf(signal = new AbortController().signal): Call {
  return { signal };
}

/** All to the end, where `next` says once more that nothing comes. */
async function framesOf(stream: SourceStream): Promise<SourceFrame[]> {
  const frames: SourceFrame[] = [];
  for (let frame = await stream.next(); frame; frame = await stream.next()) frames.push(frame);
  expect(await stream.next()).toBeUndefined();
  return frames;
}

/** Takes so many pieces. */
async function upTo(stream: SourceStream, pieces: number): Promise<void> {
  for (let taken = 0; taken < pieces; ) {
    const frame = await stream.next();
    expect(['meta', 'wait', 'piece']).toContain(frame?.type);
    if (frame?.type === 'piece') taken++;
  }
}

/** Who let go is told nothing more: above all not that this was all there is. */
function endOf(last: unknown): string {
  if (last === undefined || last instanceof Error) return 'ended';
  return (last as SourceFrame).type;
}
