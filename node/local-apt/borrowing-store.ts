// Packages that apt has downloaded itself lie in its archive folder: they are served from there,
// neither copied nor counted in the budget nor ever deleted by us. A hard link would fail for
// another owner and across mounts, and would defeat `apt clean`.
import { EventEmitter } from 'node:events';
import { type FileHandle, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, Hasher } from '../content/digest.ts';
import { PieceHasher } from '../content/piece-hashes.ts';
import { reasonOf } from '../errors.ts';
import { KiB } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { Once } from '../platform/once.ts';
import type {
  ObjectReader,
  PartialObject,
  Store,
  StoredObject,
  StoreEvents,
} from '../store/store.ts';

interface Loan {
  readonly object: StoredObject;
  readonly path: string;
  /** Device, inode, times and size when it was verified. */
  readonly identity: string;
  readonly pieceHashes: Buffer;
}

/** What lies in the archive folder. */
interface Listing {
  readonly mtimeMs: number;
  /** By what the archive calls them: without the epoch of the version. */
  readonly byPoolName: ReadonlyMap<string, readonly string[]>;
}

const chunkBytes = 256 * KiB;
/** While apt fills its folder, that folder changes with every file of a big upgrade. */
const lookAgainMs = 1000;

/** A store that also has what lies in apt's archive folder. */
export class BorrowingStore implements Store {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #folder: string;
  readonly #loans = new Map<Digest, Loan>();
  readonly #adopting = new Once<boolean>();
  readonly #events = new EventEmitter<StoreEvents>();
  /** As of the folder's last change, which each new file is. */
  #listing: Listing = listingOf(-1, []);
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking: Promise<Listing> | undefined;

  /** `archives`: apt's Dir::Cache::archives, /var/cache/apt/archives. */
  constructor(deps: { store: Store; clock: Clock; log: Log }, options: { archives: string }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#folder = options.archives;
    this.#events.setMaxListeners(0);
    // What is here both ways is one object to those who listen.
    deps.store.on('added', (object) => {
      if (!this.#loans.delete(object.digest)) this.#events.emit('added', object);
    });
    deps.store.on('removed', (object) => this.#events.emit('removed', object));
  }

  /** Includes the borrowed ones. */
  get objects(): number {
    return this.#store.objects + this.#loans.size;
  }

  get bytes(): number {
    return this.#store.bytes;
  }

  /** As of the last second; empty when there is no such folder. */
  #archives(): Promise<Listing> {
    if (this.#looking) return this.#looking;
    const now = this.#clock.monotonicMs();
    if (now - this.#lookedAtMs < lookAgainMs) return Promise.resolve(this.#listing);
    this.#lookedAtMs = now;
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<Listing> {
    const { mtimeMs } = await stat(this.#folder).catch(() => ({ mtimeMs: -1 }));
    if (this.#listing.mtimeMs === mtimeMs) return this.#listing;
    const names = await readdir(this.#folder).catch(() => []);
    this.#listing = listingOf(mtimeMs, names);
    return this.#listing;
  }

  /**
   * Borrows what apt keeps of the file that its archive calls `poolName` (the last part of the
   * URL, unescaped), if it has `size` bytes and that digest: it is read once. apt's own name has
   * the epoch of the version as well, which the archive leaves out. Resolves to whether the object
   * is here now.
   */
  async adoptPoolFile(digest: Digest, poolName: string, size: number): Promise<boolean> {
    if (this.stat(digest) !== undefined) return true;
    const { byPoolName } = await this.#archives();
    for (const name of byPoolName.get(poolName) ?? []) {
      const path = join(this.#folder, name);
      if (await this.#adopting.run(digest, () => this.#adopt(digest, path, size))) return true;
    }
    return false;
  }

  on<E extends keyof StoreEvents>(event: E, fn: (...args: StoreEvents[E]) => void): void {
    (this.#events as EventEmitter).on(event, fn);
  }

  stat(digest: Digest): StoredObject | undefined {
    return this.#store.stat(digest) ?? this.#loans.get(digest)?.object;
  }

  list(): Iterable<StoredObject> {
    return [...this.#store.list(), ...Array.from(this.#loans.values(), ({ object }) => object)];
  }

  async open(digest: Digest): Promise<ObjectReader | undefined> {
    return (await this.#store.open(digest)) ?? (await this.#openLoan(digest));
  }

  atHand(digest: Digest): ObjectReader | undefined {
    return this.#store.atHand(digest);
  }

  partial(key: string, sizeHint?: number): Promise<PartialObject> {
    return this.#store.partial(key, sizeHint);
  }

  /** Forgets a borrowed object; its file stays. */
  async delete(digest: Digest): Promise<void> {
    await this.#store.delete(digest);
    const loan = this.#loans.get(digest);
    if (loan !== undefined) this.#giveBack(loan);
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async #adopt(digest: Digest, path: string, size: number): Promise<boolean> {
    if (this.stat(digest) !== undefined) return true;
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || !found.isFile() || found.size !== size) return false;
    const loan = await borrow({ digest, size }, path).catch((error: unknown) => {
      this.#log.debug({ path, reason: reasonOf(error) }, 'archive not readable');
      return undefined;
    });
    if (loan === undefined) return false;
    if (this.#store.stat(digest) !== undefined) return true;
    this.#loans.set(digest, loan);
    this.#events.emit('added', loan.object);
    return true;
  }

  async #openLoan(digest: Digest): Promise<ObjectReader | undefined> {
    const loan = this.#loans.get(digest);
    if (loan === undefined) return undefined;
    const file = await open(loan.path, 'r').catch((error: NodeJS.ErrnoException) => error.code);
    if (file === 'ENOENT' || file === 'EACCES') return this.#giveBack(loan);
    // Out of descriptors, say: the loan stands, these bytes come from elsewhere this time.
    if (file === undefined || typeof file === 'string') return undefined;
    if ((await identityOf(file)) === loan.identity) return readerOf(loan, file);
    await file.close();
    this.#giveBack(loan);
    // apt may have fetched the same package again: another inode, perhaps the same bytes.
    const again = await borrow(loan.object, loan.path).catch(() => undefined);
    if (again === undefined) return undefined;
    this.#loans.set(digest, again);
    this.#events.emit('added', again.object);
    return this.#openLoan(digest);
  }

  #giveBack(loan: Loan): undefined {
    if (this.#loans.get(loan.object.digest) !== loan) return;
    this.#loans.delete(loan.object.digest);
    this.#events.emit('removed', loan.object);
  }
}

function listingOf(mtimeMs: number, files: readonly string[]): Listing {
  const names = files.filter((name) => name.endsWith('.deb'));
  const byPoolName = Map.groupBy(names, (name) => name.replace(/_\d+%3a/, '_'));
  return { mtimeMs, byPoolName };
}

async function borrow(object: StoredObject, path: string): Promise<Loan | undefined> {
  const file = await open(path, 'r');
  try {
    const identity = await identityOf(file);
    const whole = new Hasher();
    const pieces = new PieceHasher();
    for (let at = 0; at < object.size; ) {
      const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, object.size - at));
      const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
      if (bytesRead === 0) return undefined;
      whole.update(chunk.subarray(0, bytesRead));
      pieces.update(chunk.subarray(0, bytesRead));
      at += bytesRead;
    }
    const isSame = whole.digest() === object.digest && identity === (await identityOf(file));
    if (!isSame || (await file.stat()).size !== object.size) return undefined;
    const { digest, size } = object;
    return { object: { digest, size }, path, identity, pieceHashes: Buffer.from(pieces.end()) };
  } finally {
    await file.close();
  }
}

async function identityOf(file: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
}

function readerOf(loan: Loan, file: FileHandle): ObjectReader {
  let open = true;
  return {
    ...loan.object,
    pieceHashes: loan.pieceHashes,
    read: async (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > loan.object.size) {
        throw new RangeError(`bytes ${offset}+${length} of an object of ${loan.object.size}`);
      }
      const bytes = Buffer.allocUnsafe(length);
      for (let filled = 0; filled < length; ) {
        const left = length - filled;
        const { bytesRead } = await file.read(bytes, filled, left, offset + filled);
        if (bytesRead === 0) throw new Error(`${loan.path} ends at ${offset + filled}`);
        filled += bytesRead;
      }
      return bytes;
    },
    close: async () => {
      if (open) await file.close();
      open = false;
    },
  };
}
