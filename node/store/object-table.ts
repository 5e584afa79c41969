// The stored objects, least recently used first. One is listed when its file is in place; the file
// of one that is removed goes with its last reader.
import type { EventEmitter } from 'node:events';
import type { Digest } from '../content/digest.ts';
import { formatHttpDate, parseHttpDate } from '../content/preconditions.ts';
import { type Clock, nowSeconds } from '../platform/clock.ts';
import type { HotCache } from './hot-cache.ts';
import type { ObjectFiles } from './object-files.ts';
import type { IndexEntry, IndexWriter } from './object-index.ts';
import type { StoredObject, StoreEvents } from './store.ts';
import type { Trust, TrustedEntry } from './trust.ts';

export interface ObjectEntry extends TrustedEntry {
  readers: number;
  /** Its file was seen whole since the start. */
  seen: boolean;
  /** Read since the start. */
  used: boolean;
  /** When its bytes were last written or read since the start, in seconds since the epoch. */
  cached: number | undefined;
  savedUse: number;
  /** Its piece hashes, while somebody reads it. */
  hashes: Buffer | undefined;
}

export interface ObjectTableDeps {
  readonly clock: Clock;
  readonly files: Pick<ObjectFiles, 'names' | 'size' | 'path' | 'place' | 'write' | 'remove'>;
  readonly index: Pick<IndexWriter, 'put' | 'remove'>;
  readonly trust: Pick<Trust, 'written' | 'forget'>;
  readonly hot: Pick<HotCache, 'delete'>;
  readonly events: EventEmitter<StoreEvents>;
  /** Asked when one comes in: whether other members hold it, too. */
  heldElsewhere(digest: Digest): boolean;
  /** One that is larger than the whole budget came in. */
  oversizeCame(): void;
}

const saveUseSeconds = 3600;

export class ObjectTable {
  readonly #deps: ObjectTableDeps;
  readonly #maxBytes: number;
  readonly #entries = new Map<Digest, ObjectEntry>();
  /** Digests whose file is being put in place: their path must not be removed meanwhile. */
  readonly #placing = new Set<Digest>();
  #bytes = 0;
  #oversizeBytes = 0;

  /** `maxBytes` is the store's whole budget. */
  constructor(deps: ObjectTableDeps, options: { maxBytes: number }) {
    this.#deps = deps;
    this.#maxBytes = options.maxBytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Of `bytes`, those of objects that are each larger than the whole budget. */
  get oversizeBytes(): number {
    return this.#oversizeBytes;
  }

  isOversize(entry: { readonly size: number }): boolean {
    return entry.size > this.#maxBytes;
  }

  get(digest: Digest): ObjectEntry | undefined {
    return this.#entries.get(digest);
  }

  /** Live: an object that is used meanwhile comes once more. */
  values(): Iterable<ObjectEntry> {
    return this.#entries.values();
  }

  // --- starting

  /** To be called once; `wasClean`: all that was written before may be believed. */
  async load(known: Map<Digest, IndexEntry>, wasClean: boolean): Promise<void> {
    const present = new Set(await this.#deps.files.names());
    for (const record of known.values()) {
      if (!present.delete(record.digest)) continue;
      const entry = this.#add(record);
      entry.doubtful = !record.settled && !wasClean;
    }
    // Killed between a rename and its index line, or between an index line and a removal: right
    // bytes are worth keeping either way.
    const unlisted = Array.from(present);
    for (let at = 0; at < unlisted.length; at += 64) {
      await Promise.all(unlisted.slice(at, at + 64).map((digest) => this.#adoptUnlisted(digest)));
    }
  }

  async #adoptUnlisted(digest: Digest): Promise<void> {
    const size = await this.#deps.files.size(digest);
    if (size === undefined) return;
    const lastUsed = nowSeconds(this.#deps.clock);
    const record = { digest, size, modified: undefined, lastUsed };
    this.#add({ ...record, settled: false, heldElsewhere: false }).doubtful = true;
  }

  // --- coming in

  /** Makes a stored object of a whole file; resolves to its path. */
  async place(path: string, object: StoredObject, pieceHashes: Buffer): Promise<string> {
    const { digest } = object;
    this.#placing.add(digest);
    try {
      await this.#deps.files.place(path, digest, pieceHashes);
    } finally {
      this.#placing.delete(digest);
    }
    return this.#placed(object);
  }

  /** Makes one of bytes in memory; `undefined` when it cannot, and they must go by a file. */
  async write(
    bytes: readonly Buffer[],
    object: StoredObject,
    pieceHashes: Buffer,
  ): Promise<string | undefined> {
    const written = await this.#deps.files.write(object.digest, bytes, pieceHashes);
    return written ? this.#placed(object) : undefined;
  }

  #placed(object: StoredObject): string {
    const { clock, files, index, trust, events } = this.#deps;
    const { digest, size } = object;
    const known = this.#entries.get(digest);
    if (known !== undefined) this.#forget(known);
    const modified = parseHttpDate(object.lastModified);
    const lastUsed = nowSeconds(clock);
    const heldElsewhere = this.#deps.heldElsewhere(digest);
    const entry = this.#add({ digest, size, modified, lastUsed, settled: false, heldElsewhere });
    entry.seen = true;
    entry.cached = lastUsed;
    index.put(entry);
    trust.written(entry);
    if (this.isOversize(entry)) this.#deps.oversizeCame();
    if (known === undefined) events.emit('added', objectOf(entry));
    return files.path(digest);
  }

  #add(record: IndexEntry): ObjectEntry {
    const entry: ObjectEntry = {
      ...record,
      readers: 0,
      gone: false,
      doubtful: false,
      seen: false,
      used: false,
      cached: undefined,
      savedUse: record.lastUsed,
      hashes: undefined,
      checking: undefined,
    };
    this.#entries.set(record.digest, entry);
    this.#bytes += record.size;
    if (this.isOversize(entry)) this.#oversizeBytes += record.size;
    return entry;
  }

  // --- in use

  /** Its file stays until as many `unpin`. */
  pin(entry: ObjectEntry): void {
    entry.readers++;
  }

  unpin(entry: ObjectEntry): void {
    entry.readers--;
    if (entry.readers > 0) return;
    entry.hashes = undefined;
    // The same object may have come in again meanwhile, under the same file name.
    if (entry.gone && !this.#entries.has(entry.digest) && !this.#placing.has(entry.digest)) {
      void this.#deps.files.remove(entry.digest, entry.size);
    }
  }

  /** Marks it as used. */
  touch(entry: ObjectEntry): void {
    entry.lastUsed = nowSeconds(this.#deps.clock);
    if (this.#entries.get(entry.digest) !== entry) return;
    this.#entries.delete(entry.digest);
    this.#entries.set(entry.digest, entry);
    if (entry.lastUsed - entry.savedUse < saveUseSeconds) return;
    entry.savedUse = entry.lastUsed;
    this.#deps.index.put(entry);
  }

  // --- going

  async delete(digest: Digest): Promise<void> {
    const entry = this.#entries.get(digest);
    if (entry !== undefined) await this.drop(entry);
  }

  /** Removes this very object, not one that came under its digest since. */
  async drop(known: TrustedEntry): Promise<void> {
    const entry = this.#entries.get(known.digest);
    if (entry === undefined || entry !== known) return;
    this.#forget(entry);
    this.#deps.index.remove(entry.digest);
    this.#deps.events.emit('removed', objectOf(entry));
    if (entry.readers === 0 && !this.#placing.has(entry.digest)) {
      await this.#deps.files.remove(entry.digest, entry.size);
    }
  }

  #forget(entry: ObjectEntry): void {
    entry.gone = true;
    this.#entries.delete(entry.digest);
    this.#deps.hot.delete(entry.digest);
    this.#deps.trust.forget(entry);
    this.#bytes -= entry.size;
    if (this.isOversize(entry)) this.#oversizeBytes -= entry.size;
  }
}

/** What the port tells of an entry. */
export function objectOf({ digest, size, modified }: IndexEntry): StoredObject {
  if (modified === undefined) return { digest, size };
  return { digest, size, lastModified: formatHttpDate(modified) };
}
