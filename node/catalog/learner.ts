// Learning from indexes: Release files at once, Packages and Sources when somebody asks for what
// they may list, or when the machine has been quiet for a while.
import { stat } from 'node:fs/promises';
import { archiveBaseOf, classify, folderOf, packageIndexOf } from '../apt/classify.ts';
import { IndexScanner, scanIndex } from '../apt/packages-file.ts';
import { filesOfRelease, parseRelease } from '../apt/release-file.ts';
import type { Digest } from '../content/digest.ts';
import { reasonOf } from '../errors.ts';
import { MiB } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { changedLists, readList, unpackedList } from './apt-lists.ts';
import type { Catalog, CatalogEntry, LearnedIndex, ListedFile } from './catalog.ts';
import { type DecompressOptions, decompress, POLITE } from './decompress.ts';

export interface LearnerDeps {
  readonly catalog: Catalog;
  /** The bytes of an object of this node; undefined when it is not here (any more). */
  readObject(digest: Digest): Promise<AsyncIterable<Buffer> | undefined>;
  /** Base URLs of the archives in apt's own sources, each ending with a slash. */
  archives(): Iterable<string>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LearnerOptions extends Omit<DecompressOptions, 'niceness'> {
  /** Pending indexes are learned when none has been noted for so long, in ms. */
  readonly quietMs: number;
  /** `/var/lib/apt/lists`; without it apt's lists are not read. */
  readonly listsFolder?: string;
}

export const learnerDefaults: Pick<LearnerOptions, 'aptHelper' | 'quietMs'> = {
  aptHelper: '/usr/lib/apt/apt-helper',
  quietMs: 60_000,
};

/** An index that was seen and not yet learned; kept in the catalog's notes. */
interface Pending extends LearnedIndex {
  /** Asked for by hash in a flat folder: may as well be a Translation file. */
  readonly guessed: boolean;
}

interface ListsRun {
  /** Modification time of the lists folder. */
  readonly mtimeMs: number;
  readonly done: Promise<number>;
}

const NOTE = 'pending!';
/** Bases whose lists were read that are remembered. */
const BASES_MAX = 1000;
const RELEASE_BYTES_MAX = 64 * MiB;
/** Debian's main Sources is 50 MB; what unpacks to more than this is no index. */
const INDEX_BYTES_MAX = 1024 * MiB;

export class IndexLearner {
  readonly #deps: LearnerDeps;
  readonly #options: LearnerOptions;
  readonly #pending: Map<string, Pending>;
  #queue: Promise<unknown> = Promise.resolve();
  #quiet: Timer | undefined;
  /** By archive base; a lists folder that has not changed says nothing new. */
  readonly #lists = new Map<string, ListsRun>();
  #closed = false;

  private constructor(deps: LearnerDeps, options: LearnerOptions, pending: Map<string, Pending>) {
    this.#deps = deps;
    this.#options = options;
    this.#pending = pending;
    if (pending.size > 0) this.#whenQuiet();
  }

  /** Takes up the indexes that were pending when the daemon ended. */
  static async open(deps: LearnerDeps, options: LearnerOptions): Promise<IndexLearner> {
    const pending = new Map<string, Pending>();
    for (const text of (await deps.catalog.notes(NOTE)).values()) {
      const index = JSON.parse(text) as Pending;
      pending.set(index.indexUrl, index);
    }
    return new IndexLearner(deps, options, pending);
  }

  /** Indexes seen and not yet learned. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * To be told of each object that a URL was found to stand for, once it is here whole; URLs of
   * no index are ignored. Resolves when a Release file has been learned, an index noted. Never
   * rejects.
   */
  async noteObject(url: string, digest: Digest, size: number): Promise<void> {
    try {
      const release = releaseOf(url);
      if (release !== undefined) return await this.#learnRelease(release, digest, size);
      const indexUrl = packageIndexOf(url);
      if (indexUrl === undefined) return;
      if ((await this.#deps.catalog.learned(indexUrl)) === digest) {
        return await this.#settle(this.#pending.get(indexUrl));
      }
      this.#whenQuiet();
      if (this.#pending.get(indexUrl)?.indexDigest === digest) return;
      const baseUrl = archiveBaseOf(indexUrl);
      const guessed = url.includes('/by-hash/') && !url.includes('/dists/');
      const index: Pending = { indexUrl, indexDigest: digest, baseUrl, guessed };
      this.#pending.set(indexUrl, index);
      await this.#deps.catalog.note(NOTE + indexUrl, JSON.stringify(index));
    } catch (error) {
      this.#deps.log.warn({ url, digest, reason: reasonOf(error) }, 'index not learned');
    }
  }

  /** As the catalog's lookup, after learning whatever pending or listed index may know the URL. */
  async resolve(url: string): Promise<CatalogEntry | undefined> {
    return (await this.#learnFor(url)) ?? (await this.#deps.catalog.lookup(url));
  }

  /** As `resolve`, at once: `undefined` also when it takes more than memory to tell. */
  atHand(url: string): CatalogEntry | undefined {
    for (const { baseUrl } of this.#pending.values()) if (url.startsWith(baseUrl)) return undefined;
    return this.#deps.catalog.atHand(url);
  }

  /**
   * For URLs of packages and sources: resolves when no pending index covers the URL, and, while
   * the catalog does not know it, when apt's own lists have been read. The entry, if it was found
   * on the way.
   */
  async #learnFor(url: string): Promise<CatalogEntry | undefined> {
    const { kind } = classify(url);
    if (kind !== 'package' && kind !== 'source') return undefined;
    const other = kind === 'package' ? '/source/Sources' : '/Packages';
    const covering = [...this.#pending.values()].filter(
      ({ baseUrl, indexUrl }) => url.startsWith(baseUrl) && !indexUrl.endsWith(other),
    );
    if (covering.length > 0) {
      await Promise.all(covering.map((index) => this.#learnPending(index)));
    }
    const { listsFolder } = this.#options;
    const entry = await this.#deps.catalog.lookup(url);
    if (entry === undefined && listsFolder !== undefined) await this.#readLists(listsFolder, url);
    return entry;
  }

  /** Learns what changed in apt's lists folder; returns the number of files learned. */
  learnAptLists(folder: string, url?: string): Promise<number> {
    return this.#next(async () => {
      let files = 0;
      for (const { index, file } of await changedLists(this.#deps, folder, url)) {
        if (this.#closed) break;
        files += await this.#learn(index, readList(file));
      }
      return files;
    });
  }

  /** Ends what runs; pending indexes stay noted. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#quiet?.cancel();
    await this.#queue;
  }

  async #readLists(folder: string, url: string): Promise<void> {
    const state = await stat(folder).catch(() => undefined);
    if (state === undefined) return;
    const { mtimeMs } = state;
    const base = archiveBaseOf(url);
    const last = this.#lists.get(base);
    if (last?.mtimeMs !== mtimeMs) {
      if (this.#lists.size >= BASES_MAX) this.#lists.clear();
      const done = this.learnAptLists(folder, url).catch(() => 0);
      this.#lists.set(base, { mtimeMs, done });
    }
    await this.#lists.get(base)?.done;
  }

  async #learnRelease(indexUrl: string, digest: Digest, size: number): Promise<void> {
    const { catalog, readObject } = this.#deps;
    if (size > RELEASE_BYTES_MAX || (await catalog.learned(indexUrl)) === digest) return;
    const bytes = await readObject(digest);
    if (bytes === undefined) return;
    const chunks: Buffer[] = [];
    for await (const chunk of bytes) chunks.push(chunk);
    const release = parseRelease(Buffer.concat(chunks));
    if (release.entries.length === 0) return;
    const index = { indexUrl, indexDigest: digest, baseUrl: folderOf(indexUrl) };
    const files = await catalog.learn(index, filesOfRelease(release));
    this.#deps.log.debug({ indexUrl, files, skipped: release.skipped }, 'Release learned');
  }

  #whenQuiet(): void {
    this.#quiet?.cancel();
    this.#quiet = this.#deps.clock.after(this.#options.quietMs, () => {
      for (const index of this.#pending.values()) void this.#learnPending(index, POLITE);
    });
  }

  /** One index at a time, however many wait for one. */
  #learnPending(index: Pending, niceness = 0): Promise<void> {
    return this.#next(async () => {
      if (this.#closed || this.#pending.get(index.indexUrl) !== index) return;
      const unpacked = await this.#unpacked(index);
      if (unpacked === undefined || (await this.#learn(index, unpacked, niceness)) === 0) {
        const bytes = await this.#deps.readObject(index.indexDigest);
        if (bytes !== undefined) await this.#learn(index, bytes, niceness);
      }
      if (!this.#closed) await this.#settle(index);
    }).catch((error: unknown) => {
      const { indexUrl } = index;
      this.#deps.log.warn({ indexUrl, reason: reasonOf(error) }, 'index not read');
    });
  }

  /** As apt has it by now: that need not be unpacked once more. */
  async #unpacked({ indexUrl }: Pending): Promise<AsyncIterable<Buffer> | undefined> {
    const { catalog, archives } = this.#deps;
    const { listsFolder } = this.#options;
    const promised = listsFolder && (await catalog.lookup(indexUrl));
    if (!promised) return undefined;
    return await unpackedList(archives(), listsFolder, indexUrl, promised);
  }

  #next<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(task);
    this.#queue = run.catch(() => undefined);
    return run;
  }

  async #settle(index: Pending | undefined): Promise<void> {
    if (index === undefined || this.#pending.get(index.indexUrl) !== index) return;
    this.#pending.delete(index.indexUrl);
    await this.#deps.catalog.note(NOTE + index.indexUrl, undefined);
  }

  /** The number of files learned. A broken index is told of; what was known before holds. */
  async #learn(
    learned: LearnedIndex & { readonly guessed?: boolean },
    bytes: AsyncIterable<Buffer>,
    niceness = 0,
  ): Promise<number> {
    const { catalog, clock, log } = this.#deps;
    const { indexUrl, indexDigest, baseUrl, secondHand = false, guessed = false } = learned;
    const index = { indexUrl, indexDigest, baseUrl, ...(secondHand ? { secondHand } : {}) };
    const startMs = clock.monotonicMs();
    const scanner = new IndexScanner();
    try {
      const text = this.#limited(decompress(bytes, { ...this.#options, niceness }));
      const listed = filesOf(text, scanner, folderPrefixes(index));
      const files = await catalog.learn(index, guessed ? someOf(listed) : listed);
      const { skipped } = scanner;
      const ms = Math.round(clock.monotonicMs() - startMs);
      log.debug({ indexUrl, files, skipped, ms }, 'index learned');
      return files;
    } catch (error) {
      if (!this.#closed) log.warn({ indexUrl, reason: reasonOf(error) }, 'index not learned');
      return 0;
    }
  }

  async *#limited(text: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let bytes = 0;
    for await (const chunk of text) {
      bytes += chunk.length;
      if (this.#closed) throw new Error('shutting down');
      if (bytes > INDEX_BYTES_MAX) throw new Error(`unpacks to more than ${INDEX_BYTES_MAX} bytes`);
      yield chunk;
    }
  }
}

/** InRelease and Release of one folder say the same: both are known as `…/Release`. */
function releaseOf(url: string): string | undefined {
  return /\/(?:In)?Release$/.test(url) ? `${folderOf(url)}Release` : undefined;
}

/**
 * Files of a flat repository may be listed relative to a parent of the index's folder, where
 * `deb http://m.example/debian binary/` put it: `binary/x.deb` in `…/debian/binary/Packages`.
 * These are the beginnings (`binary/`, `debian/binary/`) under which a path may repeat it.
 */
function folderPrefixes({ indexUrl, baseUrl }: LearnedIndex): string[] {
  if (indexUrl.includes('/dists/')) return [];
  const folders = baseUrl.split('/').slice(3, -1);
  return folders.map((_, at) => `${folders.slice(at).join('/')}/`);
}

async function* filesOf(
  text: AsyncIterable<Buffer>,
  scanner: IndexScanner,
  prefixes: readonly string[],
): AsyncGenerator<ListedFile> {
  for await (const files of scanIndex(text, scanner)) {
    for (const file of files) {
      yield file;
      for (const prefix of prefixes) {
        if (file.path.startsWith(prefix)) yield { ...file, path: file.path.slice(prefix.length) };
      }
    }
  }
}

/** Throws when there are none, so that what the catalog knows holds. */
async function* someOf(files: AsyncIterable<ListedFile>): AsyncGenerator<ListedFile> {
  let empty = true;
  for await (const file of files) {
    empty = false;
    yield file;
  }
  if (empty) throw new Error('lists no packages');
}
