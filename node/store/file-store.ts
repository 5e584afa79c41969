// The store on disk: objects by digest, partial ones by key, under a byte budget and a floor of
// free space. Here its parts are put together; each has a file of its own.
import { EventEmitter } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../content/digest.ts';
import { HerdError, reasonOf } from '../errors.ts';
import { MiB } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { Budget } from './budget.ts';
import { HotCache } from './hot-cache.ts';
import { ObjectFiles } from './object-files.ts';
import { IndexWriter, loadIndex } from './object-index.ts';
import { ObjectReaders } from './object-readers.ts';
import { ObjectTable, objectOf } from './object-table.ts';
import { OpenFiles } from './open-files.ts';
import { Partials, type PartialsDeps } from './partials.ts';
import { PromptDisk } from './prompt-disk.ts';
import type { ObjectReader, PartialObject, Store, StoredObject, StoreEvents } from './store.ts';
import { Trust, type TrustedEntry } from './trust.ts';

export interface FileStoreDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Asked when an object comes in: whether other members hold it, too. Default: none does. */
  readonly heldElsewhere?: (digest: Digest) => boolean;
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

export class FileStore implements Store {
  readonly #openFiles: OpenFiles;
  readonly #prompt: PromptDisk;
  readonly #index: IndexWriter;
  readonly #trust: Trust;
  readonly #objects: ObjectTable;
  readonly #readers: ObjectReaders;
  readonly #partials: Partials;
  readonly #budget: Budget;
  readonly #events = new EventEmitter<StoreEvents>();
  #closed = false;

  private constructor(deps: FileStoreDeps, options: Required<FileStoreOptions>, lines: number) {
    const { clock, log } = deps;
    const { folder } = options;
    this.#events.setMaxListeners(0);
    this.#openFiles = new OpenFiles(deps, { max: options.openFiles });
    this.#prompt = new PromptDisk(deps);
    const files = new ObjectFiles({ prompt: this.#prompt, files: this.#openFiles }, { folder });
    const hot = new HotCache({ maxBytes: options.hotBytes });
    const onError = (error: unknown) =>
      log.warn({ reason: reasonOf(error) }, 'store index not written');
    const index = new IndexWriter(
      { clock, entries: () => this.#objects.values(), onError },
      { path: join(folder, 'store.index'), lines },
    );
    const drop = (entry: TrustedEntry) => this.#objects.drop(entry);
    const trust = new Trust({ clock, log, files, index, drop }, options);
    const oversizeCame = () => this.#budget.dropOversizeLater();
    const { heldElsewhere = () => false } = deps;
    const events = this.#events;
    const objects = new ObjectTable(
      { clock, files, index, trust, hot, events, heldElsewhere, oversizeCame },
      options,
    );
    this.#index = index;
    this.#trust = trust;
    this.#objects = objects;
    this.#readers = new ObjectReaders({ clock, log, objects, files, trust, hot }, options);
    this.#partials = new Partials(this.#depsOfPartials(clock), options);
    const inBackground = (work: () => Promise<void>) => trust.inBackground(work);
    const partials = this.#partials;
    this.#budget = new Budget({ ...deps, objects, partials, inBackground }, options);
  }

  #depsOfPartials(clock: Clock): PartialsDeps {
    return {
      clock,
      files: this.#openFiles,
      prompt: this.#prompt,
      fit: () => this.#budget.fit(),
      makeRoom: (partial, growth) =>
        this.#closed ? refused() : this.#budget.makeRoom(partial, growth),
      evict: (bytes) => this.#budget.diskWasFull(bytes),
      place: (path, object, hashes) =>
        this.#closed ? refused() : this.#objects.place(path, object, hashes),
      write: (bytes, object, hashes) =>
        this.#closed ? refused() : this.#objects.write(bytes, object, hashes),
    };
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
    await store.#objects.load(index.entries, wasClean);
    await store.#partials.load();
    store.#index.opened();
    if (store.#objects.oversizeBytes > 0) store.#budget.dropOversizeLater();
    await store.#budget.fit();
    store.#trust.begin(store.#objects.values());
    return store;
  }

  get objects(): number {
    return this.#objects.size;
  }

  get bytes(): number {
    return this.#objects.bytes;
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

  open(digest: Digest): Promise<ObjectReader | undefined> {
    return this.#closed ? refused() : this.#readers.open(digest);
  }

  atHand(digest: Digest): ObjectReader | undefined {
    return this.#closed ? undefined : this.#readers.atHand(digest);
  }

  partial(key: string, sizeHint = 0): Promise<PartialObject> {
    return this.#closed ? refused() : this.#partials.open(key, sizeHint);
  }

  delete(digest: Digest): Promise<void> {
    return this.#objects.delete(digest);
  }

  /** Ends what is being written, and suspends what is still coming in. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#budget.close();
    await this.#partials.suspendAll();
    await this.#trust.close();
    await this.#index.close(await bootId());
    await this.#openFiles.close();
  }
}

/** Changes with each start of the kernel: within one boot no written byte can be lost. */
async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).trim();
}

function refused(): Promise<never> {
  return Promise.reject(new HerdError('SHUTTING_DOWN', 'store is closed'));
}
