// The store on disk: objects by digest, partial ones by key, under a byte budget and a floor of
// free space. A removed object's file goes with its last reader.
import { EventEmitter } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../content/digest.ts';
import { PieceHasher } from '../content/piece-hashes.ts';
import { formatHttpDate, parseHttpDate } from '../content/preconditions.ts';
import { HerdError, reasonOf } from '../errors.ts';
import { MiB, PIECE_BYTES } from '../limits.ts';
import { type Clock, nowSeconds, type Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { type Candidate, victims } from './eviction.ts';
import type { FilePartial } from './file-partial.ts';
import { HotCache } from './hot-cache.ts';
import { ObjectFiles } from './object-files.ts';
import { type IndexEntry, IndexWriter, loadIndex } from './object-index.ts';
import { OpenFiles } from './open-files.ts';
import { Partials } from './partials.ts';
import { belowFloor, FreeSpace } from './room.ts';
import type { ObjectReader, PartialObject, Store, StoredObject, StoreEvents } from './store.ts';
import { Trust, type TrustedEntry } from './trust.ts';

export interface FileStoreDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** How many other members are known to hold it; default: nobody is known. */
  readonly heldElsewhere?: (digest: Digest) => number;
}

export interface FileStoreOptions {
  /** The state folder, already open for this process alone (state-folder.ts). */
  readonly folder: string;
  /** Budget of bytes for objects and partial ones together. */
  readonly maxBytes: number;
  /** Free bytes to leave on the disk. Default 0: fill it if the budget allows. */
  readonly minFreeBytes?: number;
  /** Memory for small objects that are asked for repeatedly. Default 8 MiB, 0 for none. */
  readonly hotBytes?: number;
  /** Objects up to this size may live in memory. Default 1 MiB. */
  readonly hotObjectBytes?: number;
  /** File descriptors at most. Default 48: enough for 4 disk threads, small beside `ulimit -n`. */
  readonly openFiles?: number;
  /** How long after writing an object is flushed to disk, once or twice this. Default 2 min. */
  readonly settleMs?: number;
  /** When the verification of doubtful objects in the background begins. Default 5 s. */
  readonly verifyAfterMs?: number;
}

interface Entry extends TrustedEntry {
  readers: number;
  /** Its file was seen whole since the start. */
  seen: boolean;
  /** Opened since the start. */
  used: boolean;
  savedUse: number;
  hashes: Buffer | undefined;
}

const oversizeGraceMs = 60_000;
const saveUseSeconds = 3600;
/** What was used within so long lies in the page cache, unless the machine is short of memory. */
const cachedSeconds = 600;
const fullDiskStep = 16 * MiB;

export class FileStore implements Store {
  readonly #deps: FileStoreDeps;
  readonly #options: Required<FileStoreOptions>;
  readonly #openFiles: OpenFiles;
  readonly #files: ObjectFiles;
  readonly #free: FreeSpace;
  readonly #hot: HotCache;
  readonly #index: IndexWriter;
  readonly #events = new EventEmitter<StoreEvents>();
  /** Least recently used first. */
  readonly #objects = new Map<Digest, Entry>();
  readonly #partials: Partials;
  /** Digests whose file is being put in place: their path must not be removed meanwhile. */
  readonly #placing = new Set<Digest>();
  readonly #trust: Trust;
  #closed = false;
  #oversizeTimer: Timer | undefined;
  #bytes = 0;
  #oversizeBytes = 0;

  private constructor(deps: FileStoreDeps, options: Required<FileStoreOptions>, lines: number) {
    const { folder } = options;
    this.#deps = deps;
    this.#options = options;
    this.#openFiles = new OpenFiles(deps, { max: options.openFiles });
    this.#files = new ObjectFiles({ ...deps, files: this.#openFiles }, { folder });
    this.#free = new FreeSpace(deps, { folder, minFreeBytes: options.minFreeBytes });
    this.#hot = new HotCache({ maxBytes: options.hotBytes });
    this.#events.setMaxListeners(0);
    const onError = (error: unknown) =>
      deps.log.warn({ reason: reasonOf(error) }, 'store index not written');
    this.#index = new IndexWriter(
      { clock: deps.clock, entries: () => this.#objects.values(), onError },
      { path: join(folder, 'store.index'), lines },
    );
    const files = this.#files;
    const index = this.#index;
    const drop = ({ digest }: TrustedEntry) => this.delete(digest);
    this.#trust = new Trust({ ...deps, files, index, drop }, options);
    const host = {
      clock: deps.clock,
      files: this.#openFiles,
      fit: () => this.#evict(this.#excess()),
      makeRoom: (partial: FilePartial, growth: number) => this.#makeRoom(partial, growth),
      evict: (bytes: number) =>
        this.#evict(Math.max(bytes, Math.min(fullDiskStep, this.#bytes)), 'disk'),
      place: (path: string, object: StoredObject, hashes: Buffer) =>
        this.#place(path, object, hashes),
      write: (bytes: readonly Buffer[], object: StoredObject) => this.#write(bytes, object),
    };
    this.#partials = new Partials(host, options);
  }

  /** Opens the store in its folder; reads one file and names, no object. */
  static async open(deps: FileStoreDeps, options: FileStoreOptions): Promise<FileStore> {
    const { folder } = options;
    await mkdir(join(folder, 'partial'), { recursive: true });
    const index = await loadIndex(join(folder, 'store.index'));
    const defaults = {
      minFreeBytes: 0,
      hotBytes: 8 * MiB,
      hotObjectBytes: MiB,
      openFiles: 48,
      settleMs: 120_000,
      verifyAfterMs: 5000,
    };
    const store = new FileStore(deps, { ...defaults, ...options }, index.lines);
    const wasClean = index.closedInBoot !== undefined && index.closedInBoot === (await bootId());
    await store.#load(index.entries, wasClean);
    await store.#partials.load();
    store.#index.opened();
    await store.#evict(store.#excess());
    store.#trust.begin(store.#objects.values());
    return store;
  }

  get objects(): number {
    return this.#objects.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that partial objects take, in work and kept for later. */
  get partialBytes(): number {
    return this.#partials.bytes;
  }

  on<E extends keyof StoreEvents>(event: E, fn: (...args: StoreEvents[E]) => void): void {
    (this.#events as EventEmitter).on(event, fn);
  }

  stat(digest: Digest): StoredObject | undefined {
    const entry = this.#objects.get(digest);
    return entry === undefined ? undefined : objectOf(entry);
  }

  list(): Iterable<StoredObject> {
    // A copy: using an object moves it to the map's end, where a live iteration meets it again.
    return Array.from(this.#objects.values(), objectOf);
  }

  async open(digest: Digest): Promise<ObjectReader | undefined> {
    this.#refuseClosed();
    const entry = this.#objects.get(digest);
    if (entry === undefined) return undefined;
    entry.readers++;
    try {
      const isSound = !entry.doubtful || (await this.#trust.verify(entry));
      const reader = isSound ? await this.#reader(entry) : undefined;
      if (reader === undefined) this.#unpin(entry);
      else this.#touch(entry);
      return reader;
    } catch (error) {
      this.#unpin(entry);
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#deps.log.warn({ digest }, 'stored object has vanished');
      await this.#drop(entry);
      return undefined;
    }
  }

  partial(key: string, sizeHint = 0): Promise<PartialObject> {
    return this.#unlessClosed(() => this.#partials.open(key, sizeHint));
  }

  async delete(digest: Digest): Promise<void> {
    const entry = this.#objects.get(digest);
    if (entry !== undefined) await this.#drop(entry);
  }

  /** Suspends what is still coming in. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#oversizeTimer?.cancel();
    await this.#partials.suspendAll();
    await this.#trust.close();
    await this.#index.close(await bootId());
    await this.#openFiles.close();
  }

  // --- starting

  async #load(known: Map<Digest, IndexEntry>, wasClean: boolean): Promise<void> {
    const present = new Set(await this.#files.names());
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
    const size = await this.#files.size(digest);
    if (size === undefined) return;
    const lastUsed = nowSeconds(this.#deps.clock);
    this.#add({ digest, size, modified: undefined, lastUsed, settled: false }).doubtful = true;
  }

  #add(record: IndexEntry): Entry {
    const entry: Entry = {
      ...record,
      readers: 0,
      gone: false,
      doubtful: false,
      seen: false,
      used: false,
      savedUse: record.lastUsed,
      hashes: undefined,
      checking: undefined,
    };
    this.#objects.set(record.digest, entry);
    this.#bytes += record.size;
    if (this.#isOversize(entry)) this.#oversizeBytes += record.size;
    return entry;
  }

  // --- reading

  async #reader(entry: Entry): Promise<ObjectReader | undefined> {
    const { digest, size } = entry;
    const hot = this.#hot.get(digest) ?? (await this.#heat(entry));
    if (hot !== undefined) {
      const { body, pieceHashes } = hot;
      const read = async (from: number, length: number) => body.subarray(from, from + length);
      return { ...this.#readerOf(entry, pieceHashes, read), body };
    }
    if (!entry.seen && !(await this.#files.isWhole(digest, size))) {
      this.#deps.log.warn({ digest }, 'stored object has a wrong size');
      await this.#drop(entry);
      return undefined;
    }
    entry.seen = true;
    const hashes = entry.hashes ?? (await this.#files.readHashes(digest, size));
    if (hashes === undefined) {
      return (await this.#trust.verify(entry)) ? await this.#reader(entry) : undefined;
    }
    entry.hashes = hashes;
    return this.#readerOf(entry, hashes, (from, length) => this.#files.read(digest, from, length));
  }

  #readerOf(
    entry: Entry,
    pieceHashes: Buffer,
    read: (offset: number, length: number) => Promise<Buffer>,
  ): ObjectReader {
    let closed = false;
    return {
      ...objectOf(entry),
      pieceHashes,
      read: async (offset, length) => {
        if (closed) throw new HerdError('INTERNAL', 'reader is closed');
        if (offset < 0 || length < 0 || offset + length > entry.size) {
          throw new RangeError(`bytes ${offset}+${length} of an object of ${entry.size}`);
        }
        return await read(offset, length);
      },
      close: async () => {
        if (closed) return;
        closed = true;
        this.#unpin(entry);
      },
    };
  }

  /** Takes a small object into memory at its second use: a first one is often the only one. */
  async #heat(entry: Entry) {
    const { digest, size, used } = entry;
    entry.used = true;
    const limit = Math.min(this.#options.hotObjectBytes, this.#options.hotBytes);
    if (!used || size > limit || !entry.seen) return undefined;
    const pieceHashes = await this.#files.readHashes(digest, size);
    if (pieceHashes === undefined) return undefined;
    const fresh =
      size <= PIECE_BYTES && nowSeconds(this.#deps.clock) - entry.lastUsed < cachedSeconds;
    const now = fresh ? this.#files.readNow(digest, size) : undefined;
    const body = now ?? (await this.#files.read(digest, 0, size));
    // What lies in memory is given out without a further look.
    const hasher = new PieceHasher();
    hasher.update(body);
    if (!hasher.end().equals(pieceHashes)) return undefined;
    if (!entry.gone) this.#hot.add(digest, { body, pieceHashes });
    return { body, pieceHashes };
  }

  #unpin(entry: Entry): void {
    entry.readers--;
    if (entry.readers > 0) return;
    entry.hashes = undefined;
    // The same object may have come in again meanwhile, under the same file name.
    if (entry.gone && !this.#objects.has(entry.digest) && !this.#placing.has(entry.digest)) {
      void this.#files.remove(entry.digest, entry.size);
    }
  }

  #touch(entry: Entry): void {
    entry.lastUsed = nowSeconds(this.#deps.clock);
    if (this.#objects.get(entry.digest) !== entry) return;
    this.#objects.delete(entry.digest);
    this.#objects.set(entry.digest, entry);
    if (entry.lastUsed - entry.savedUse < saveUseSeconds) return;
    entry.savedUse = entry.lastUsed;
    this.#index.put(entry);
  }

  // --- writing

  async #place(path: string, object: StoredObject, pieceHashes: Buffer): Promise<string> {
    const { digest } = object;
    this.#refuseClosed();
    this.#placing.add(digest);
    try {
      await this.#files.place(path, digest, pieceHashes);
    } finally {
      this.#placing.delete(digest);
    }
    return this.#placed(object);
  }

  async #write(bytes: readonly Buffer[], object: StoredObject): Promise<string | undefined> {
    this.#refuseClosed();
    return (await this.#files.write(object.digest, bytes)) ? this.#placed(object) : undefined;
  }

  #placed(object: StoredObject): string {
    const { digest, size } = object;
    const known = this.#objects.get(digest);
    if (known !== undefined) this.#forget(known);
    const modified = parseHttpDate(object.lastModified);
    const entry = this.#add({
      digest,
      size,
      modified,
      lastUsed: nowSeconds(this.#deps.clock),
      settled: false,
    });
    entry.seen = true;
    this.#index.put(entry);
    this.#trust.written(entry);
    if (this.#isOversize(entry)) this.#dropOversizeLater();
    if (known === undefined) this.#events.emit('added', objectOf(entry));
    return this.#files.path(digest);
  }

  // --- room

  #isOversize(entry: { readonly size: number }): boolean {
    return entry.size > this.#options.maxBytes;
  }

  async #makeRoom(partial: FilePartial, growth: number): Promise<void> {
    this.#refuseClosed();
    const before = Math.max(partial.bytes, partial.reserved);
    const after = Math.max(partial.bytes + growth, partial.reserved);
    if (after <= this.#options.maxBytes) await this.#evict(this.#excess() + after - before);
    const missing = await this.#free.missing(growth);
    if (missing > 0) {
      await this.#evict(missing, 'disk');
      if ((await this.#free.missing(growth)) > 0) throw belowFloor(this.#options.folder);
    }
    this.#free.written(growth);
  }

  /**
   * Bytes over the budget. What is larger than the whole budget does not count: it must not push
   * out everything else, and goes a minute after it came.
   */
  #excess(): number {
    const sum = this.#bytes - this.#oversizeBytes + this.#partials.claimedBytes;
    return sum - this.#options.maxBytes;
  }

  async #evict(bytes: number, need: 'budget' | 'disk' = 'budget'): Promise<void> {
    if (bytes <= 0) return;
    const many = this.#objects.size > 1000;
    // Choosing costs a look at every object, so with many of them free a little more at once.
    const slack = many ? Math.ceil(this.#options.maxBytes / 50) : 0;
    const chosen = victims(this.#candidates(need), bytes + slack);
    await Promise.all(chosen.map((candidate) => this.#giveUp(candidate)));
  }

  *#candidates(need: 'budget' | 'disk'): Iterable<Candidate> {
    let order = 0;
    for (const [key, { bytes, lastUsed }] of this.#partials.kept()) {
      yield candidateOf(key, bytes, lastUsed, { partial: true });
    }
    for (const entry of this.#objects.values()) {
      const oversize = this.#isOversize(entry);
      if (oversize && need === 'budget') continue;
      yield candidateOf(entry.digest, entry.size, order++, {
        pinned: entry.readers > 0,
        oversize,
        heldElsewhere: this.#deps.heldElsewhere?.(entry.digest) ?? 0,
      });
    }
  }

  async #giveUp({ key, partial }: Candidate): Promise<void> {
    if (partial) return await this.#partials.remove(key);
    const entry = this.#objects.get(key);
    if (entry !== undefined) await this.#drop(entry);
  }

  #dropOversizeLater(): void {
    this.#oversizeTimer ??= this.#deps.clock.after(oversizeGraceMs, () => {
      this.#oversizeTimer = undefined;
      this.#trust.inBackground(() => this.#dropOversize());
    });
  }

  async #dropOversize(): Promise<void> {
    const oversize = Array.from(this.#objects.values()).filter((entry) => this.#isOversize(entry));
    for (const entry of oversize) {
      if (entry.readers === 0) await this.#drop(entry);
      else this.#dropOversizeLater();
    }
  }

  async #drop(entry: Entry): Promise<void> {
    if (this.#objects.get(entry.digest) !== entry) return;
    this.#forget(entry);
    this.#index.remove(entry.digest);
    this.#events.emit('removed', objectOf(entry));
    if (entry.readers === 0 && !this.#placing.has(entry.digest)) {
      await this.#files.remove(entry.digest, entry.size);
    }
  }

  #forget(entry: Entry): void {
    entry.gone = true;
    this.#objects.delete(entry.digest);
    this.#hot.delete(entry.digest);
    this.#trust.forget(entry);
    this.#bytes -= entry.size;
    if (this.#isOversize(entry)) this.#oversizeBytes -= entry.size;
  }

  #refuseClosed(): void {
    if (this.#closed) throw closedError();
  }

  #unlessClosed<T>(fn: () => Promise<T>): Promise<T> {
    return this.#closed ? Promise.reject(closedError()) : fn();
  }
}

function objectOf({ digest, size, modified }: IndexEntry): StoredObject {
  if (modified === undefined) return { digest, size };
  return { digest, size, lastModified: formatHttpDate(modified) };
}

function candidateOf(
  key: string,
  size: number,
  lastUsed: number,
  rest: Partial<Candidate>,
): Candidate {
  const defaults = { pinned: false, partial: false, oversize: false, heldElsewhere: 0 };
  return { key, size, lastUsed, ...defaults, ...rest };
}

/** Changes with each start of the kernel: within one boot no written byte can be lost. */
async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
}

function closedError(): HerdError {
  return new HerdError('SHUTTING_DOWN', 'store is closed');
}
