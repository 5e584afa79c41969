// Opens stored objects for reading: only what may be believed, and small ones that are asked for
// again from memory.
import type { Digest } from '../content/digest.ts';
import { PieceHasher } from '../content/piece-hashes.ts';
import { HerdError } from '../errors.ts';
import { isSmall } from '../limits.ts';
import { type Clock, nowSeconds } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { HotCache, HotObject } from './hot-cache.ts';
import type { ObjectFiles } from './object-files.ts';
import { type ObjectEntry, type ObjectTable, objectOf } from './object-table.ts';
import type { ObjectReader } from './store.ts';
import type { Trust } from './trust.ts';

export interface ObjectReadersDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly objects: Pick<ObjectTable, 'get' | 'pin' | 'unpin' | 'touch' | 'drop'>;
  readonly files: Pick<
    ObjectFiles,
    'isWhole' | 'read' | 'readHashes' | 'readNow' | 'readHashesNow'
  >;
  readonly trust: Pick<Trust, 'verify'>;
  readonly hot: Pick<HotCache, 'get' | 'add'>;
}

/** What was read within so long lies in the page cache, unless the machine is short of memory. */
const cachedSeconds = 600;

export class ObjectReaders {
  readonly #deps: ObjectReadersDeps;
  readonly #hotLimit: number;

  /** Objects up to `hotObjectBytes` may live in `hot`, which takes `hotBytes`. */
  constructor(deps: ObjectReadersDeps, options: { hotBytes: number; hotObjectBytes: number }) {
    this.#deps = deps;
    this.#hotLimit = Math.min(options.hotObjectBytes, options.hotBytes);
  }

  /** See Store.open. */
  async open(digest: Digest): Promise<ObjectReader | undefined> {
    const { log, objects, trust } = this.#deps;
    const entry = objects.get(digest);
    if (entry === undefined) return undefined;
    objects.pin(entry);
    try {
      const isSound = !entry.doubtful || (await trust.verify(entry));
      const reader = isSound ? await this.#reader(entry) : undefined;
      if (reader === undefined) objects.unpin(entry);
      else objects.touch(entry);
      return reader;
    } catch (error) {
      objects.unpin(entry);
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      log.warn({ digest }, 'stored object has vanished');
      await objects.drop(entry);
      return undefined;
    }
  }

  /** See Store.atHand. */
  atHand(digest: Digest): ObjectReader | undefined {
    const { objects, hot } = this.#deps;
    const entry = objects.get(digest);
    const found = entry?.doubtful === false ? hot.get(digest) : undefined;
    if (entry === undefined || found === undefined) return undefined;
    objects.pin(entry);
    objects.touch(entry);
    return this.#readerInMemory(entry, found);
  }

  #readerInMemory(entry: ObjectEntry, { object, body, pieceHashes }: HotObject): ObjectReader {
    const read = async (from: number, length: number) => body.subarray(from, from + length);
    return { ...object, pieceHashes, body, ...this.#reading(entry, read) };
  }

  async #reader(entry: ObjectEntry): Promise<ObjectReader | undefined> {
    const { log, objects, files, trust } = this.#deps;
    const { digest, size } = entry;
    const hot = this.#deps.hot.get(digest) ?? (await this.#heat(entry));
    if (hot !== undefined) return this.#readerInMemory(entry, hot);
    if (!entry.seen && !(await files.isWhole(digest, size))) {
      log.warn({ digest }, 'stored object has a wrong size');
      await objects.drop(entry);
      return undefined;
    }
    const cached = this.#isCached(entry);
    entry.seen = true;
    const hashes = entry.hashes ?? (await this.#hashesOf(entry));
    if (hashes === undefined) {
      return (await trust.verify(entry)) ? await this.#reader(entry) : undefined;
    }
    entry.hashes = hashes;
    const reading = this.#reading(entry, async (from, length, into) => {
      const now = cached ? files.readNow(digest, from, length, into) : undefined;
      const bytes = now ?? (await files.read(digest, from, length, into));
      entry.cached = nowSeconds(this.#deps.clock);
      entry.used = true;
      return bytes;
    });
    return { ...objectOf(entry), pieceHashes: hashes, ...reading };
  }

  #reading(entry: ObjectEntry, read: ObjectReader['read']): Pick<ObjectReader, 'read' | 'close'> {
    let closed = false;
    return {
      read: async (offset, length, into) => {
        if (closed) throw new HerdError('INTERNAL', 'reader is closed');
        if (offset < 0 || length < 0 || offset + length > entry.size) {
          throw new RangeError(`bytes ${offset}+${length} of an object of ${entry.size}`);
        }
        return await read(offset, length, into);
      },
      close: async () => {
        if (closed) return;
        closed = true;
        this.#deps.objects.unpin(entry);
      },
    };
  }

  /**
   * Takes a small object into memory at its second use: a first one is often the only one. Opened
   * and not read is not used: a flight opens what it has stored for those who still wait.
   */
  async #heat(entry: ObjectEntry): Promise<HotObject | undefined> {
    const { files, hot } = this.#deps;
    const { digest, size, used } = entry;
    if (!used || size > this.#hotLimit || !entry.seen) return undefined;
    const pieceHashes = await this.#hashesOf(entry);
    if (pieceHashes === undefined) return undefined;
    const now = this.#isCached(entry) ? files.readNow(digest, 0, size) : undefined;
    const body = now ?? (await files.read(digest, 0, size));
    // What lies in memory is given out without a further look.
    const hasher = new PieceHasher();
    hasher.update(body);
    if (!hasher.end().equals(pieceHashes)) return undefined;
    const found = { object: objectOf(entry), body, pieceHashes };
    if (!entry.gone) hot.add(digest, found);
    return found;
  }

  /** Whether it is read at once: two changes of thread for a piece take longer than the reading. */
  #isCached({ size, cached }: ObjectEntry): boolean {
    if (cached === undefined || !isSmall(size)) return false;
    return nowSeconds(this.#deps.clock) - cached < cachedSeconds;
  }

  async #hashesOf(entry: ObjectEntry): Promise<Buffer | undefined> {
    const { files } = this.#deps;
    const { digest, size } = entry;
    const now = this.#isCached(entry) ? files.readHashesNow(digest, size) : undefined;
    return now ?? (await files.readHashes(digest, size));
  }
}
