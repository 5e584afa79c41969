// An object on its way into this node: verified piece by piece, readable as it grows.
import { type Digest, Hasher, sha256 } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError, reasonOf } from '../errors.ts';
import { PIECE_BYTES, pieceCount } from '../limits.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { ObjectReader, PartialObject, Store } from '../store/store.ts';
import type { StreamMeta } from '../wire/frames.ts';
import { FlightReader } from './flight-reader.ts';

/** Pieces kept in memory behind the newest one, so that readers who keep up need no disk. */
const RING_PIECES = 4;
/** So many pieces are worth a write: a few large ones cost less than many small ones. */
const WRITE_PIECES = 2;
/** The source waits for the disk when so many pieces are not yet written. */
const UNWRITTEN_MAX = 4;
/** Pieces held in memory when the disk takes no more; the source waits for the slowest reader. */
const OVERFLOW_PIECES = 64;
/** A reader that stands still for so long does not hold up the others when nothing is stored. */
const OVERFLOW_STALL_MS = 4_000;

export interface Piece {
  readonly index: number;
  readonly hash: Buffer;
  readonly bytes: Buffer;
  /** To be called when nobody reads the bytes any more, sockets included; or never. */
  release(): void;
}

/** A piece in memory. */
interface Held {
  readonly bytes: Buffer;
  /** Readers that have not released it. */
  lent: number;
  /** Out of the ring: free as soon as the last one has released it. */
  dropped: boolean;
}

export type FlightState = 'running' | 'whole' | 'failed';

interface FlightDeps {
  readonly pool: PiecePool;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

interface FlightInit {
  /** The store's key: the digest, or a name for a file whose digest nobody knows yet. */
  readonly key: string;
  readonly digest?: Digest;
  readonly size?: number;
  readonly url: string;
}

export class Flight {
  readonly key: string;
  readonly url: string;
  /** Known from the start for fixed names, else once the flight is whole. */
  digest: Digest | undefined;
  meta: StreamMeta;
  readonly #deps: FlightDeps;
  readonly #expected: Digest | undefined;
  #partial: PartialObject | undefined;
  /** The store takes no more: what it took is read from there, the rest passes through memory. */
  #full = false;
  #stored: Promise<ObjectReader | undefined> | undefined;
  #state: FlightState = 'running';
  #verified = false;
  #error: HerdError | undefined;
  #pieces = 0;
  #bytes = 0;
  /** Pieces that the store has; later ones are in memory. */
  #written = 0;
  #writing: Promise<void> | undefined;
  #hashes = Buffer.alloc(8 * 32);
  #hasher = new Hasher();
  readonly #ring = new Map<number, Held>();
  readonly #readers = new Set<FlightReader>();
  #change = Promise.withResolvers<void>();
  /** The source waits for readers. */
  #waiting = false;
  /** True once any byte has gone to apt: what is found wrong later cannot be taken back. */
  released = false;

  constructor(deps: FlightDeps, init: FlightInit) {
    this.#deps = deps;
    this.key = init.key;
    this.url = init.url;
    this.#expected = init.digest;
    this.digest = init.digest;
    this.meta = init.size === undefined ? {} : { size: init.size };
  }

  /** Takes over what an interrupted flight of the same object left in the store. */
  async open(): Promise<void> {
    try {
      this.#partial = await this.#deps.store.partial(this.key, this.meta.size);
    } catch (error) {
      this.#overflow(error);
      return;
    }
    const whole = Math.floor(this.#partial.bytes / PIECE_BYTES);
    if (this.#expected === undefined || whole * PIECE_BYTES !== this.#partial.bytes) {
      if (this.#partial.bytes > 0) await this.#restartPartial();
      return;
    }
    try {
      for (let index = 0; index < whole; index++) {
        const bytes = await this.#partial.read(index * PIECE_BYTES, PIECE_BYTES);
        this.#note(bytes, sha256(bytes));
        this.#written = this.#pieces;
      }
    } catch (error) {
      this.#startOver();
      await this.#dropPartial();
      this.#overflow(error);
    }
    if (this.#pieces > 0) await this.#endIfComplete();
  }

  get state(): FlightState {
    return this.#state;
  }

  get error(): HerdError | undefined {
    return this.#error;
  }

  /** All bytes are here, and they are the right ones. */
  get verified(): boolean {
    return this.#verified;
  }

  /** Verified pieces, all from the start of the object. */
  get pieces(): number {
    return this.#pieces;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get readers(): number {
    return this.#readers.size;
  }

  /** Resolves at the next change of any kind: a piece, the end, a failure, new meta data. */
  changed(): Promise<void> {
    return this.#change.promise;
  }

  describe(meta: StreamMeta): void {
    const size = this.meta.size ?? meta.size;
    if (meta.size !== undefined && size !== meta.size) {
      throw new HerdError(
        'CONTENT_MISMATCH',
        `${meta.size} bytes offered where ${size} are expected`,
      );
    }
    this.meta = { ...meta, ...this.meta, ...(size === undefined ? {} : { size }) };
    this.#notify();
  }

  /**
   * Takes the next piece, checked against `hash` where one was published. Resolves when more may
   * come. Pieces that are here already are ignored. Throws CONTENT_MISMATCH on a bad piece: the
   * flight itself is unharmed, the source is not to be trusted.
   */
  async append(index: number, bytes: Buffer, hash?: Buffer): Promise<void> {
    if (this.#state !== 'running' || index < this.#pieces) return;
    this.#checkShape(index, bytes);
    const actual = sha256(bytes);
    if (hash !== undefined && !actual.equals(hash)) {
      throw new HerdError('CONTENT_MISMATCH', `piece ${index} is not what its SHA-256 says`);
    }
    this.#note(bytes, actual);
    this.#ring.set(index, { bytes, lent: 0, dropped: false });
    this.#notify();
    if (this.#full) await this.#waitForReaders();
    else await this.#store();
    await this.#endIfComplete();
  }

  /** The source says that this was all (needed where the size was not known). */
  async end(): Promise<void> {
    if (this.#state !== 'running') return;
    if (this.meta.size !== undefined && this.#bytes !== this.meta.size) {
      throw new HerdError('SOURCE_FAILED', `ended after ${this.#bytes} of ${this.meta.size} bytes`);
    }
    this.meta = { ...this.meta, size: this.#bytes };
    await this.#finish();
  }

  /** Ends the flight for all its readers. The bytes stay for another try unless they are wrong. */
  async fail(error: HerdError): Promise<void> {
    if (this.#state !== 'running') return;
    this.#state = 'failed';
    this.#error = error;
    this.#notify();
    const wrong = error.code === 'CONTENT_MISMATCH' || this.#expected === undefined;
    const partial = this.#partial;
    this.#partial = undefined;
    await this.#writing;
    if (wrong) return await partial?.discard();
    if (partial && !this.#full) await this.#writeOut(partial, 1);
    await partial?.suspend();
  }

  /** Whether piece `index` can be read now or later: without a disk, what all have read is gone. */
  holds(index: number): boolean {
    if (index >= this.#pieces || this.#ring.has(index)) return true;
    if (this.#partial !== undefined && index < this.#written) return this.#state !== 'failed';
    if (this.#state !== 'whole' || this.digest === undefined) return false;
    return this.#stored !== undefined || this.#deps.store.stat(this.digest) !== undefined;
  }

  /** Reads from `index` on. `checked`: the last piece waits until the whole digest is verified. */
  read(index: number, checked: boolean): FlightReader {
    const reader = new FlightReader(this, index, checked, {
      moved: () => this.#readerMoved(),
      closed: () => {
        this.#readers.delete(reader);
        if (this.#readers.size === 0) void this.#letGoOfStored();
        this.#notify();
      },
    });
    this.#readers.add(reader);
    return reader;
  }

  /** A verified piece. */
  async piece(index: number): Promise<Piece> {
    const hash = this.#hashes.subarray(index * 32, index * 32 + 32);
    const held = this.#ring.get(index);
    if (!held) return { index, hash, bytes: await this.#readBack(index), release: () => {} };
    held.lent++;
    let lent = true;
    const release = () => {
      if (!lent) return;
      lent = false;
      held.lent--;
      this.#recycle(held);
    };
    return { index, hash, bytes: held.bytes, release };
  }

  /** Pieces that may be given out. */
  available(checked: boolean): number {
    if (!checked || this.#verified) return this.#pieces;
    const last = this.meta.size === undefined ? this.#pieces : pieceCount(this.meta.size);
    return Math.min(this.#pieces, last - 1);
  }

  #checkShape(index: number, bytes: Buffer): void {
    if (index !== this.#pieces) {
      throw new HerdError('SOURCE_FAILED', `piece ${index} came where ${this.#pieces} was due`);
    }
    const { size } = this.meta;
    const due = size === undefined ? bytes.length : Math.min(PIECE_BYTES, size - this.#bytes);
    if (bytes.length !== due || due === 0) {
      throw new HerdError('SOURCE_FAILED', `piece ${index} has ${bytes.length} bytes, not ${due}`);
    }
  }

  #note(bytes: Buffer, hash: Buffer): void {
    if ((this.#pieces + 1) * 32 > this.#hashes.length) {
      this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(this.#hashes.length)]);
    }
    this.#hashes.set(hash, this.#pieces * 32);
    this.#hasher.update(bytes);
    this.#pieces++;
    this.#bytes += bytes.length;
  }

  /** Hands over to the store what is worth a write, and waits only when it falls behind. */
  async #store(): Promise<void> {
    const partial = this.#partial;
    if (!partial) return;
    if (this.#pieces - this.#written >= WRITE_PIECES) {
      this.#writing ??= this.#writeOut(partial, WRITE_PIECES).finally(() => {
        this.#writing = undefined;
      });
    }
    if (this.#pieces - this.#written > UNWRITTEN_MAX) await this.#writing;
  }

  /** Writes as long as `least` pieces are unwritten. Never rejects. */
  async #writeOut(partial: PartialObject, least: number): Promise<void> {
    try {
      while (this.#pieces - this.#written >= least) {
        const upTo = this.#pieces;
        const unwritten: Buffer[] = [];
        for (let index = this.#written; index < upTo; index++) {
          unwritten.push(this.#ring.get(index)!.bytes);
        }
        await partial.append(...unwritten);
        this.#written = upTo;
        this.#trimRing(Math.min(upTo, this.#pieces - RING_PIECES));
      }
    } catch (error) {
      this.#overflow(error);
    }
  }

  /** The disk takes no more: from here on the bytes stream through memory. */
  #overflow(error: unknown): void {
    this.#deps.log.warn(
      { object: this.key, reason: reasonOf(error) },
      'cannot be stored; it streams through to those who wait for it',
    );
    this.#full = true;
  }

  async #waitForReaders(): Promise<void> {
    const { clock } = this.#deps;
    let stuckAt = -1;
    let sinceMs = 0;
    while (this.#state === 'running') {
      const slowest = this.#slowest();
      this.#trimRing(Math.min(slowest, this.#pieces - 1));
      if (this.#pieces - slowest < OVERFLOW_PIECES) return;
      if (slowest !== stuckAt) {
        stuckAt = slowest;
        sinceMs = clock.monotonicMs();
      }
      const leftMs = sinceMs + OVERFLOW_STALL_MS - clock.monotonicMs();
      if (leftMs <= 0 && this.#leaveBehind(slowest)) continue;
      this.#waiting = true;
      await withDeadline(clock, this.changed(), leftMs > 0 ? leftMs : OVERFLOW_STALL_MS, undefined);
      this.#waiting = false;
    }
  }

  #slowest(): number {
    let slowest = this.#pieces;
    for (const reader of this.#readers) {
      // What was stored before the disk was full can be read from there.
      if (!reader.leftBehind) slowest = Math.min(slowest, Math.max(reader.index, this.#written));
    }
    return slowest;
  }

  /** Goes on without those who stand still at `index`, if others wait. */
  #leaveBehind(index: number): boolean {
    const readers = [...this.#readers].filter(
      (reader) => !reader.leftBehind && reader.index >= this.#written,
    );
    if (readers.every((reader) => reader.index <= index)) return false;
    for (const reader of readers) if (reader.index <= index) reader.leftBehind = true;
    return true;
  }

  #readerMoved(): void {
    if (this.#waiting) this.#notify();
  }

  #trimRing(below: number): void {
    for (const [index, held] of this.#ring) {
      if (index >= below) return;
      this.#ring.delete(index);
      held.dropped = true;
      this.#recycle(held);
    }
  }

  #recycle({ bytes, lent, dropped }: Held): void {
    if (dropped && lent === 0) this.#deps.pool.give(bytes);
  }

  async #endIfComplete(): Promise<void> {
    if (this.#state === 'running' && this.#bytes === this.meta.size) await this.#finish();
  }

  async #finish(): Promise<void> {
    const digest = this.#hasher.digest();
    if (this.#expected !== undefined && digest !== this.#expected) {
      const reason = `the bytes have SHA-256 ${digest}, not ${this.#expected}`;
      await this.fail(new HerdError('CONTENT_MISMATCH', reason));
      return;
    }
    this.digest = digest;
    // Those who wait for the end need not wait for the disk.
    this.#verified = true;
    this.#notify();
    await this.#commit(digest);
    this.#state = 'whole';
    this.#notify();
  }

  async #commit(digest: Digest): Promise<void> {
    const { lastModified } = this.meta;
    const object = {
      digest,
      size: this.#bytes,
      ...(lastModified === undefined ? {} : { lastModified }),
    };
    const partial = this.#partial;
    if (!partial) return;
    await this.#writing;
    if (!this.#full) await this.#writeOut(partial, 1);
    if (this.#full) {
      if (this.#readers.size === 0) await this.#dropPartial();
      return;
    }
    try {
      await partial.commit(object, Buffer.from(this.#hashes.subarray(0, this.#pieces * 32)));
      this.#partial = undefined;
      // Opened at once, so that an eviction cannot take it from those who still read.
      if (this.#readers.size > 0) this.#stored = this.#openStored(digest);
    } catch (error) {
      this.#deps.log.warn({ object: digest, reason: reasonOf(error) }, 'could not be kept');
      this.#full = true;
      if (this.#readers.size === 0) await this.#dropPartial();
    }
  }

  async #readBack(index: number): Promise<Buffer> {
    const offset = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, this.#bytes - offset);
    const partial = this.#state === 'failed' ? undefined : this.#partial;
    if (partial && index < this.#written) return await partial.read(offset, length);
    if (this.#state === 'whole' && this.digest !== undefined) {
      this.#stored ??= this.#openStored(this.digest);
      const stored = await this.#stored;
      if (stored) return await stored.read(offset, length);
    }
    throw this.#error ?? new HerdError('SOURCE_FAILED', 'these bytes were not kept: no disk space');
  }

  /** Never rejects: nobody may be waiting for it yet. */
  async #openStored(digest: Digest): Promise<ObjectReader | undefined> {
    try {
      return await this.#deps.store.open(digest);
    } catch (error) {
      this.#deps.log.warn({ object: digest, reason: reasonOf(error) }, 'cannot be read back');
      return undefined;
    }
  }

  #startOver(): void {
    this.#pieces = 0;
    this.#bytes = 0;
    this.#written = 0;
    this.#hasher = new Hasher();
  }

  async #letGoOfStored(): Promise<void> {
    if (this.#state !== 'whole') return;
    const stored = this.#stored;
    this.#stored = undefined;
    await this.#dropPartial();
    await (await stored)?.close().catch(() => {});
  }

  async #dropPartial(): Promise<void> {
    const partial = this.#partial;
    this.#partial = undefined;
    await partial?.discard().catch(() => {});
  }

  async #restartPartial(): Promise<void> {
    await this.#partial?.discard();
    this.#partial = await this.#deps.store.partial(this.key, this.meta.size);
  }

  #notify(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }
}
