// When indexes are learned: Release files at once, Packages and Sources when somebody asks for
// what they may list, or when the machine has been quiet for a while.
import { archiveBaseOf, classify, packageIndexOf } from '../apt/classify.ts';
import type { Digest } from '../content/digest.ts';
import { reasonOf } from '../errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Catalog, CatalogEntry } from './catalog.ts';
import { type DecompressOptions, POLITE } from './decompress.ts';
import { IndexReader } from './index-reader.ts';
import type { LocalList, LocalLists } from './local-lists.ts';
import { type PendingIndex, PendingIndexes } from './pending-indexes.ts';
import { learnRelease, releaseOf } from './release-reader.ts';

export interface LearnerDeps {
  readonly catalog: Catalog;
  /** The bytes of an object of this node; undefined when it is not here (any more). */
  readObject(digest: Digest): Promise<AsyncIterable<Buffer> | undefined>;
  /** Read for packages that are unknown, and to save unpacking. */
  readonly lists?: LocalLists;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LearnerOptions extends Omit<DecompressOptions, 'niceness'> {
  /** Pending indexes are learned when none has been noted for so long, in ms. */
  readonly quietMs: number;
}

export const learnerDefaults: Pick<LearnerOptions, 'aptHelper' | 'quietMs'> = {
  aptHelper: '/usr/lib/apt/apt-helper',
  quietMs: 60_000,
};

interface ListsRun {
  readonly revision: number;
  readonly done: Promise<number>;
}

/** Bases whose lists were read that are remembered. */
const BASES_MAX = 1000;

export class IndexLearner {
  readonly #deps: LearnerDeps;
  readonly #options: LearnerOptions;
  readonly #pending: PendingIndexes;
  readonly #reader: IndexReader;
  #queue: Promise<unknown> = Promise.resolve();
  #quiet: Timer | undefined;
  /** By archive base; lists that have not changed say nothing new. */
  readonly #listsRead = new Map<string, ListsRun>();
  #closed = false;

  private constructor(deps: LearnerDeps, options: LearnerOptions, pending: PendingIndexes) {
    this.#deps = deps;
    this.#options = options;
    this.#pending = pending;
    this.#reader = new IndexReader(deps, options);
    if (pending.size > 0) this.#whenQuiet();
  }

  /** Takes up the indexes that were pending when the daemon ended. */
  static async open(deps: LearnerDeps, options: LearnerOptions): Promise<IndexLearner> {
    return new IndexLearner(deps, options, await PendingIndexes.open(deps.catalog));
  }

  /**
   * To be told of each object that a URL was found to stand for, once it is here whole; URLs of
   * no index are ignored. Resolves when a Release file has been learned, an index noted. Never
   * rejects.
   */
  async noteObject(url: string, digest: Digest, size: number): Promise<void> {
    try {
      const release = releaseOf(url);
      if (release !== undefined) return await learnRelease(this.#deps, release, digest, size);
      const indexUrl = packageIndexOf(url);
      if (indexUrl === undefined) return;
      const known = await this.#deps.catalog.learned(indexUrl);
      const pending = this.#pending.get(indexUrl);
      if (known === digest) {
        if (pending !== undefined) await this.#pending.settle(pending);
        return;
      }
      this.#whenQuiet();
      if (pending?.indexDigest === digest) return;
      const baseUrl = archiveBaseOf(indexUrl);
      const guessed = url.includes('/by-hash/') && !url.includes('/dists/');
      await this.#pending.add({ indexUrl, indexDigest: digest, baseUrl, guessed });
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
    return this.#pending.mayList(url) ? undefined : this.#deps.catalog.atHand(url);
  }

  /** Learns what changed in this machine's own lists; returns the number of files learned. */
  learnLists(url?: string): Promise<number> {
    return this.#next(async () => {
      let files = 0;
      for (const { index, read } of await this.#changedLists(url)) {
        if (this.#closed) break;
        files += await this.#reader.learn(index, read());
      }
      return files;
    });
  }

  /** Ends what runs; pending indexes stay noted. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#reader.close();
    this.#quiet?.cancel();
    await this.#queue;
  }

  /**
   * For URLs of packages and sources: resolves when no pending index covers the URL, and, while
   * the catalog does not know it, when this machine's lists have been read. The entry, if it was
   * found on the way.
   */
  async #learnFor(url: string): Promise<CatalogEntry | undefined> {
    const { kind } = classify(url);
    if (kind !== 'package' && kind !== 'source') return undefined;
    const other = kind === 'package' ? '/source/Sources' : '/Packages';
    const covering = this.#pending
      .all()
      .filter(({ baseUrl, indexUrl }) => url.startsWith(baseUrl) && !indexUrl.endsWith(other));
    if (covering.length > 0) {
      await Promise.all(covering.map((index) => this.#learnPending(index)));
    }
    const { catalog, lists } = this.#deps;
    const entry = await catalog.lookup(url);
    if (entry === undefined && lists !== undefined) await this.#readLists(lists, url);
    return entry;
  }

  async #changedLists(url?: string): Promise<LocalList[]> {
    const { catalog, lists } = this.#deps;
    const changed: LocalList[] = [];
    for (const list of (await lists?.lists(url)) ?? []) {
      if ((await catalog.learned(list.index.indexUrl)) !== list.index.indexDigest) {
        changed.push(list);
      }
    }
    return changed;
  }

  async #readLists(lists: LocalLists, url: string): Promise<void> {
    const revision = await lists.revision();
    if (revision === undefined) return;
    const base = archiveBaseOf(url);
    if (this.#listsRead.get(base)?.revision !== revision) {
      if (this.#listsRead.size >= BASES_MAX) this.#listsRead.clear();
      const done = this.learnLists(url).catch(() => 0);
      this.#listsRead.set(base, { revision, done });
    }
    await this.#listsRead.get(base)?.done;
  }

  #whenQuiet(): void {
    this.#quiet?.cancel();
    this.#quiet = this.#deps.clock.after(this.#options.quietMs, () => {
      for (const index of this.#pending.all()) void this.#learnPending(index, POLITE);
    });
  }

  /** One index at a time, however many wait for one. */
  #learnPending(index: PendingIndex, niceness = 0): Promise<void> {
    return this.#next(async () => {
      if (this.#closed || !this.#pending.has(index)) return;
      const unpacked = await this.#unpacked(index);
      if (unpacked === undefined || (await this.#reader.learn(index, unpacked, niceness)) === 0) {
        const bytes = await this.#deps.readObject(index.indexDigest);
        if (bytes !== undefined) await this.#reader.learn(index, bytes, niceness);
      }
      if (!this.#closed) await this.#pending.settle(index);
    }).catch((error: unknown) => {
      const { indexUrl } = index;
      this.#deps.log.warn({ indexUrl, reason: reasonOf(error) }, 'index not read');
    });
  }

  /** As apt has it by now: that need not be unpacked once more. */
  async #unpacked({ indexUrl }: PendingIndex): Promise<AsyncIterable<Buffer> | undefined> {
    const { catalog, lists } = this.#deps;
    const promised = lists && (await catalog.lookup(indexUrl));
    return promised && (await lists.unpacked(indexUrl, promised));
  }

  #next<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#queue.then(task);
    this.#queue = run.catch(() => undefined);
    return run;
  }
}
