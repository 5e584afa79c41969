// An object on its way into this node: verified piece by piece, readable as it grows.
import { type Digest, sha256 } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError } from '../errors.ts';
import { PIECE_BYTES, pieceCount } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import type { StreamMeta } from '../wire/frames.ts';
import { FlightReader } from './flight-reader.ts';
import { type Piece, PieceRing } from './piece-ring.ts';
import { ReaderPace } from './reader-pace.ts';
import { StoredPieces } from './stored-pieces.ts';
import { VerifiedPrefix } from './verified-prefix.ts';

type FlightState = 'running' | 'whole' | 'failed';

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
  readonly #expected: Digest | undefined;
  readonly #prefix = new VerifiedPrefix();
  readonly #readers = new Set<FlightReader>();
  readonly #ring: PieceRing;
  readonly #stored: StoredPieces;
  readonly #pace: ReaderPace;
  #state: FlightState = 'running';
  #verified = false;
  #disproved = false;
  /** All bytes are here and on their way to the store: nothing can fail the flight any more. */
  #keeping: Promise<void> | undefined;
  /** Nothing is to be written any more. */
  #over = false;
  /** Nobody will come to read. */
  #retired = false;
  #error: HerdError | undefined;
  #change = Promise.withResolvers<void>();
  /** True once any byte has gone to apt: what is found wrong later cannot be taken back. */
  released = false;

  constructor({ pool, store, clock, log }: FlightDeps, init: FlightInit) {
    this.key = init.key;
    this.url = init.url;
    this.#expected = init.digest;
    this.digest = init.digest;
    this.meta = init.size === undefined ? {} : { size: init.size };
    const readers = this.#readers;
    const ring = new PieceRing({ pool });
    const stored = new StoredPieces(
      { store, log, prefix: this.#prefix, ring, readers, pool },
      { key: init.key },
    );
    this.#pace = new ReaderPace({ clock, flight: this, readers, ring, stored });
    this.#ring = ring;
    this.#stored = stored;
  }

  /** Takes over what an interrupted flight of the same object left in the store. */
  async open(): Promise<void> {
    await this.#stored.open(this.meta.size, this.#expected !== undefined);
    if (this.pieces > 0) await this.#endIfComplete();
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

  /** All bytes were here, and they are not what the digest says. */
  get disproved(): boolean {
    return this.#disproved;
  }

  /** Verified pieces, all from the start of the object. */
  get pieces(): number {
    return this.#prefix.pieces;
  }

  get bytes(): number {
    return this.#prefix.bytes;
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
   * come. Pieces that are here already are compared where no digest will prove the whole, else
   * ignored. Throws CONTENT_MISMATCH on a bad piece: the flight itself is unharmed, the source is
   * not to be trusted.
   */
  async append(index: number, bytes: Buffer, hash?: Buffer): Promise<void> {
    if (this.#state !== 'running') return;
    if (index < this.pieces) return this.#compare(index, bytes);
    this.#checkShape(index, bytes);
    const actual = sha256(bytes);
    if (hash !== undefined && !actual.equals(hash)) {
      throw new HerdError('CONTENT_MISMATCH', `piece ${index} is not what its SHA-256 says`);
    }
    this.#prefix.add(bytes, actual);
    this.#ring.put(index, bytes);
    this.#notify();
    if (this.#stored.full) await this.#pace.wait();
    else await this.#stored.write();
    await this.#endIfComplete();
  }

  /** The source says that this was all (needed where the size was not known). */
  async end(): Promise<void> {
    if (this.#keeping) return await this.#keeping;
    if (this.#state !== 'running') return;
    if (this.meta.size !== undefined && this.bytes !== this.meta.size) {
      throw new HerdError('SOURCE_FAILED', `ended after ${this.bytes} of ${this.meta.size} bytes`);
    }
    this.meta = { ...this.meta, size: this.bytes };
    await this.#finish();
  }

  /**
   * Ends the flight for all its readers. The bytes stay for another try unless they are wrong.
   * Where all of them are here it is too late: resolves when they are stored.
   */
  async fail(error: HerdError): Promise<void> {
    if (this.#keeping) return await this.#keeping;
    if (this.#state !== 'running') return;
    this.#state = 'failed';
    this.#error = error;
    this.#notify();
    await this.#stored.giveUp(error.code === 'CONTENT_MISMATCH' || this.#expected === undefined);
    this.#over = true;
    this.retire();
  }

  /** Nobody will come to read it: its memory is free when the last reader has left. */
  retire(): void {
    this.#retired = true;
    this.#free();
  }

  /** Whether piece `index` can be read now or later: without a disk, what all have read is gone. */
  holds(index: number): boolean {
    if (index >= this.pieces || this.#ring.has(index)) return true;
    return this.#state !== 'failed' && this.#stored.has(index);
  }

  /** Reads from `index` on. `checked`: the last piece waits until the whole digest is verified. */
  read(index: number, checked: boolean): FlightReader {
    const reader = new FlightReader(this, index, checked, {
      moved: () => {
        if (this.#pace.waiting) this.#notify();
      },
      closed: () => {
        this.#readers.delete(reader);
        if (this.#state === 'whole') void this.#letGo();
        this.#free();
        this.#notify();
      },
    });
    this.#readers.add(reader);
    return reader;
  }

  /** A verified piece. */
  async piece(index: number): Promise<Piece> {
    const hash = this.#prefix.hash(index);
    const held = this.#ring.lend(index, hash);
    if (held) return held;
    const kept = this.#state !== 'failed';
    const stored = kept ? await this.#stored.read(index) : undefined;
    if (stored) return { index, hash, ...stored };
    throw this.#error ?? new HerdError('SOURCE_FAILED', 'these bytes were not kept: no disk space');
  }

  /** Pieces that may be given out. */
  available(checked: boolean): number {
    if (!checked || this.#verified) return this.pieces;
    const last = this.meta.size === undefined ? this.pieces : pieceCount(this.meta.size);
    return Math.min(this.pieces, last - 1);
  }

  #compare(index: number, bytes: Buffer): void {
    if (this.#expected !== undefined || sha256(bytes).equals(this.#prefix.hash(index))) return;
    throw new HerdError('CONTENT_MISMATCH', 'the file changed while it was read');
  }

  #checkShape(index: number, bytes: Buffer): void {
    if (index !== this.pieces) {
      throw new HerdError('SOURCE_FAILED', `piece ${index} came where ${this.pieces} was due`);
    }
    const { size } = this.meta;
    const due = size === undefined ? bytes.length : Math.min(PIECE_BYTES, size - this.bytes);
    if (bytes.length !== due || due === 0) {
      throw new HerdError('SOURCE_FAILED', `piece ${index} has ${bytes.length} bytes, not ${due}`);
    }
  }

  async #endIfComplete(): Promise<void> {
    if (this.#state === 'running' && this.bytes === this.meta.size) await this.#finish();
  }

  async #finish(): Promise<void> {
    const digest = this.#prefix.digest();
    if (this.#expected !== undefined && digest !== this.#expected) {
      this.#disproved = true;
      const reason = `the bytes have SHA-256 ${digest}, not ${this.#expected}`;
      await this.fail(new HerdError('CONTENT_MISMATCH', reason));
      return;
    }
    this.digest = digest;
    // Those who wait for the end need not wait for the disk.
    this.#verified = true;
    this.#keeping = this.#keep(digest);
    this.#notify();
    await this.#keeping;
  }

  async #keep(digest: Digest): Promise<void> {
    const { lastModified } = this.meta;
    const size = this.bytes;
    await this.#stored.commit(
      lastModified === undefined ? { digest, size } : { digest, size, lastModified },
    );
    this.#state = 'whole';
    this.#over = true;
    this.#free();
    this.#notify();
    await this.#letGo();
  }

  async #letGo(): Promise<void> {
    if (this.#readers.size === 0) await this.#stored.letGo();
  }

  #free(): void {
    if (this.#over && this.#retired && this.#readers.size === 0) this.#ring.trim(this.pieces);
  }

  #notify(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }
}
