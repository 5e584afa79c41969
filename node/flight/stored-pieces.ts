// What the store has of a flight: written behind its readers, read back for those who are late.
import { type Digest, sha256 } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { type Lent, pooledRead } from '../content/pooled-read.ts';
import { reasonOf } from '../errors.ts';
import { isSmall, PIECE_BYTES } from '../limits.ts';
import type { Log } from '../platform/log.ts';
import type { ObjectReader, PartialObject, Store, StoredObject } from '../store/store.ts';
import type { PieceRing } from './piece-ring.ts';
import type { VerifiedPrefix } from './verified-prefix.ts';

/**
 * Pieces kept in memory behind the newest one, so that readers who keep up need no disk; all of a
 * small object.
 */
const RING_PIECES = 4;
/** So many pieces are worth a write: a few large ones cost less than many small ones. */
const WRITE_PIECES = 2;
/** The source waits for the disk when so many pieces are not yet written. */
const UNWRITTEN_MAX = 4;

interface StoredPiecesDeps {
  readonly store: Pick<Store, 'partial' | 'open' | 'stat'>;
  readonly log: Log;
  readonly prefix: VerifiedPrefix;
  /** Has what is verified and not yet written. */
  readonly ring: Pick<PieceRing, 'bytes' | 'trim'>;
  readonly readers: { readonly size: number };
  readonly pool: PiecePool;
}

interface StoredPiecesOptions {
  /** The store's key of the partial object. */
  readonly key: string;
}

export class StoredPieces {
  readonly #deps: StoredPiecesDeps;
  readonly #key: string;
  #partial: PartialObject | undefined;
  #full = false;
  /** Written when it is whole: that may then be done at once. */
  #small = false;
  #written = 0;
  #opened: Promise<void> | undefined;
  #writing: Promise<void> | undefined;
  /** There will be no more pieces. */
  #over = false;
  /** The digest under which the store may have the object. */
  #whole: Digest | undefined;
  /** The object once it is whole, for those who still read. */
  #object: Promise<ObjectReader | undefined> | undefined;

  constructor(deps: StoredPiecesDeps, { key }: StoredPiecesOptions) {
    this.#deps = deps;
    this.#key = key;
  }

  /** The store takes no more: what it took is read from there, the rest passes through memory. */
  get full(): boolean {
    return this.#full;
  }

  /** Pieces that the store has; later ones are in memory. */
  get written(): number {
    return this.#written;
  }

  /**
   * Takes over what an interrupted flight of the same object left in the store, or removes it
   * where it is not to be `resumed`. `size` in bytes, where it is known. Never rejects.
   */
  open(size: number | undefined, resumed: boolean): Promise<void> {
    this.#small = isSmall(size);
    this.#opened = this.#open(size, resumed);
    return this.#opened;
  }

  /** Hands over to the store what is worth a write, and waits only when it falls behind. */
  async write(): Promise<void> {
    const partial = this.#partial;
    if (!partial || this.#small) return;
    const { prefix } = this.#deps;
    if (prefix.pieces - this.#written >= WRITE_PIECES) {
      this.#writing ??= this.#writeOut(partial, WRITE_PIECES).finally(() => {
        this.#writing = undefined;
      });
    }
    if (prefix.pieces - this.#written > UNWRITTEN_MAX) await this.#writing;
  }

  /** Whether `read` can give the piece. */
  has(index: number): boolean {
    if (this.#partial !== undefined && index < this.#written) return true;
    if (this.#whole === undefined) return false;
    return this.#object !== undefined || this.#deps.store.stat(this.#whole) !== undefined;
  }

  /** A piece, `undefined` when it was not kept. */
  async read(index: number): Promise<Lent | undefined> {
    const offset = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, this.#deps.prefix.bytes - offset);
    const source = await this.#sourceOf(index);
    return source && (await pooledRead(this.#deps.pool, source, offset, length));
  }

  async #sourceOf(index: number): Promise<PartialObject | ObjectReader | undefined> {
    if (this.#partial && index < this.#written) return this.#partial;
    if (this.#whole === undefined) return undefined;
    this.#object ??= this.#openObject(this.#whole);
    return await this.#object;
  }

  /** All bytes are here, and they are the right ones. `letGo` must follow. Never rejects. */
  async commit(object: StoredObject): Promise<void> {
    const { log, readers, prefix } = this.#deps;
    const partial = this.#partial;
    this.#whole = object.digest;
    if (!partial) return;
    await this.#writing;
    if (!this.#full) await this.#writeOut(partial, 1);
    if (this.#full) return;
    try {
      await partial.commit(object, prefix.hashes());
      this.#partial = undefined;
      // Opened at once, so that an eviction cannot take it from those who still read.
      if (readers.size > 0) this.#object = this.#openObject(object.digest);
    } catch (error) {
      log.warn({ object: object.digest, reason: reasonOf(error) }, 'could not be kept');
      this.#full = true;
    }
  }

  /**
   * There will be no more. The bytes stay for another try, if they can, unless they are `wrong`.
   */
  async giveUp(wrong: boolean): Promise<void> {
    this.#over = true;
    await this.#opened;
    const partial = this.#partial;
    this.#partial = undefined;
    await this.#writing;
    if (wrong) return await partial?.discard();
    if (partial && !this.#full) await this.#writeOut(partial, 1);
    try {
      await partial?.suspend();
    } catch (error) {
      this.#deps.log.warn({ object: this.#key, reason: reasonOf(error) }, 'could not be kept');
      await partial?.discard().catch(() => {});
    }
  }

  /** Nobody reads the whole object any more. Never rejects. */
  async letGo(): Promise<void> {
    const object = this.#object;
    this.#object = undefined;
    await this.#dropPartial();
    await (await object)?.close().catch(() => {});
  }

  async #open(size: number | undefined, resumed: boolean): Promise<void> {
    const { store, prefix } = this.#deps;
    try {
      this.#partial = await store.partial(this.#key, size);
      const whole = Math.floor(this.#partial.bytes / PIECE_BYTES);
      if (!resumed || whole * PIECE_BYTES !== this.#partial.bytes) {
        if (this.#partial.bytes > 0) await this.#restartPartial(size);
        return;
      }
      for (let index = 0; index < whole && !this.#over; index++) {
        const bytes = await this.#partial.read(index * PIECE_BYTES, PIECE_BYTES);
        prefix.add(bytes, sha256(bytes));
        this.#written = prefix.pieces;
      }
    } catch (error) {
      prefix.startOver();
      this.#written = 0;
      await this.#dropPartial();
      this.#overflow(error);
    }
  }

  /** Writes as long as `least` pieces are unwritten. Never rejects. */
  async #writeOut(partial: PartialObject, least: number): Promise<void> {
    const { ring, prefix } = this.#deps;
    try {
      while (prefix.pieces - this.#written >= least) {
        const upTo = prefix.pieces;
        const unwritten: Buffer[] = [];
        for (let index = this.#written; index < upTo; index++) unwritten.push(ring.bytes(index));
        await partial.append(...unwritten);
        this.#written = upTo;
        ring.trim(Math.min(upTo, prefix.pieces - RING_PIECES));
      }
    } catch (error) {
      this.#overflow(error);
    }
  }

  /** The disk takes no more: from here on the bytes stream through memory. */
  #overflow(error: unknown): void {
    this.#deps.log.warn(
      { object: this.#key, reason: reasonOf(error) },
      'cannot be stored; it streams through to those who wait for it',
    );
    this.#full = true;
  }

  /** Never rejects: nobody may be waiting for it yet. */
  async #openObject(digest: Digest): Promise<ObjectReader | undefined> {
    const { log, store } = this.#deps;
    try {
      return await store.open(digest);
    } catch (error) {
      log.warn({ object: digest, reason: reasonOf(error) }, 'cannot be read back');
      return undefined;
    }
  }

  async #dropPartial(): Promise<void> {
    const partial = this.#partial;
    this.#partial = undefined;
    await partial?.discard().catch(() => {});
  }

  async #restartPartial(size: number | undefined): Promise<void> {
    await this.#partial?.discard();
    this.#partial = undefined;
    this.#partial = await this.#deps.store.partial(this.#key, size);
  }
}
