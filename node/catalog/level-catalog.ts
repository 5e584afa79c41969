// The catalog on disk, in LevelDB. One row for each index and for each bucket of its table
// (digest-table.ts), so that learning 60,000 files is one batch of a thousand rows.
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import type { Digest } from '../content/digest.ts';
import { HerdError, reasonOf } from '../errors.ts';
import { KiB, MiB } from '../limits.ts';
import type { Catalog, CatalogEntry, LearnedIndex, ListedFile, Resolution } from './catalog.ts';
import { bucketOf, DigestTableBuilder, findEntry, PathHash } from './digest-table.ts';
import { type KnownIndex, KnownIndexes } from './known-indexes.ts';

interface LevelIndex extends KnownIndex {
  /** Tables are written once under a number of their own, and removed when replaced. */
  readonly table: number;
  /** A power of two. */
  readonly buckets: number;
  readonly files: number;
}

type Database = Level<string, string>;
interface Row {
  type: 'put';
  key: string;
  value: Buffer | string;
  valueEncoding: 'buffer' | 'utf8';
}
type Operation = Row | { type: 'del'; key: string };

// LevelDB's own defaults are 8 and 4 MiB; buckets are read rarely and digests do not compress.
const openOptions = { cacheSize: MiB, writeBufferSize: 512 * KiB, compression: false };

/** Answers kept in memory: a herd asks for the same few hundred files within minutes. */
const ANSWERS_MAX = 1024;

/** Whoever asks for a name makes its owner confirm it: one that was not for so long is dropped. */
const UNASKED_MS = 30 * 24 * 3600_000;

export class LevelCatalog implements Catalog {
  readonly #db: Database;
  /** Oldest first; emptied whenever anything is learned. */
  readonly #answers = new Map<string, CatalogEntry>();
  readonly #indexes: KnownIndexes<LevelIndex>;
  #commits: Promise<unknown> = Promise.resolve();
  /** The index whose table is being replaced. */
  #replacing: string | undefined;

  private constructor(db: Database, indexes: KnownIndexes<LevelIndex>) {
    this.#db = db;
    this.#indexes = indexes;
  }

  /**
   * Opens or creates the database in `folder`. A damaged one is begun anew, as everything in it
   * can be learned again. Throws HerdError INTERNAL when the folder is in use or not writable.
   */
  static async open(folder: string): Promise<LevelCatalog> {
    const catalog = await LevelCatalog.lock(folder);
    if (catalog) return catalog;
    throw new HerdError('INTERNAL', `the catalog in ${folder} is in use`);
  }

  /**
   * As `open`, but undefined when another process has it. LevelDB's lock (fcntl(2) on its file
   * LOCK) is the kernel's, on every machine and in every container that has the same folder.
   * LevelDB begins its LOG anew before it looks; nobody reads that, and nothing else is written.
   */
  static async lock(folder: string): Promise<LevelCatalog | undefined> {
    try {
      const db = await openDatabase(folder);
      await dropUnasked(db);
      const indexes = new KnownIndexes<LevelIndex>();
      const rows = db.values<string, LevelIndex>({ gt: 'i!', lt: 'i"', valueEncoding: 'json' });
      for await (const index of rows) indexes.set(index);
      return new LevelCatalog(db, indexes);
    } catch (error) {
      const cause = (error as Error).cause ?? error;
      if ((cause as NodeJS.ErrnoException).code === 'LEVEL_LOCKED') return undefined;
      throw new HerdError('INTERNAL', `cannot open the catalog in ${folder}: ${reasonOf(cause)}`, {
        cause,
      });
    }
  }

  async lookup(url: string): Promise<CatalogEntry | undefined> {
    const answer = this.#answers.get(url);
    if (answer !== undefined) return answer;
    const sequence = this.#indexes.nextSequence();
    const entry = await this.#find(url);
    // Read before something was learned, it may be what that replaced.
    if (entry && sequence === this.#indexes.nextSequence()) this.#keep(url, entry);
    return entry;
  }

  atHand(url: string): CatalogEntry | undefined {
    return this.#answers.get(url);
  }

  #keep(url: string, entry: CatalogEntry): void {
    if (this.#answers.size >= ANSWERS_MAX) {
      const [oldest] = this.#answers.keys();
      if (oldest !== undefined) this.#answers.delete(oldest);
    }
    this.#answers.set(url, entry);
  }

  async #find(url: string): Promise<CatalogEntry | undefined> {
    const candidates = this.#indexes.candidates(url).filter(({ files }) => files > 0);
    if (candidates.length === 0) return undefined;
    const hashes = hashesBelow(url, candidates);
    for (const [at, { table, buckets }] of candidates.entries()) {
      const key = bucketKey(table, bucketOf(hashes[at]!, buckets));
      // Read where we are: 5 us, where the way to another thread and back costs twenty times that.
      const bucket = this.#db.getSync<string, Buffer>(key, { valueEncoding: 'buffer' });
      const entry = bucket && findEntry(bucket, hashes[at]!);
      if (entry) return entry;
    }
    // A table that is being replaced may be gone already: look into its successor.
    if (candidates.every(({ indexUrl }) => indexUrl !== this.#replacing)) return undefined;
    await this.#commits;
    return this.#find(url);
  }

  async learn(
    index: LearnedIndex,
    files: AsyncIterable<ListedFile> | Iterable<ListedFile>,
  ): Promise<number> {
    const builder = new DigestTableBuilder();
    if (Symbol.asyncIterator in files) for await (const file of files) builder.add(file);
    else for (const file of files) builder.add(file);
    const commit = this.#commits.then(() => this.#replace(index, builder));
    this.#commits = commit.catch(() => undefined);
    await commit;
    return builder.count;
  }

  async #replace(index: LearnedIndex, builder: DigestTableBuilder): Promise<void> {
    const sequence = this.#indexes.nextSequence();
    const buckets = builder.buckets();
    const known: LevelIndex = {
      ...index,
      sequence,
      table: sequence,
      buckets: buckets.length,
      files: builder.count,
    };
    const operations: Operation[] = tableKeys(this.#indexes.get(index.indexUrl)).map((key) => ({
      type: 'del',
      key,
    }));
    for (const [at, value] of buckets.entries()) {
      if (value.length === 0) continue;
      const key = bucketKey(known.table, at);
      operations.push({ type: 'put', key, value, valueEncoding: 'buffer' });
    }
    const row = JSON.stringify(known);
    operations.push({ type: 'put', key: `i!${index.indexUrl}`, value: row, valueEncoding: 'utf8' });
    this.#replacing = index.indexUrl;
    try {
      await this.#db.batch<string, Buffer | string>(operations, {});
      this.#indexes.set(known);
    } finally {
      this.#replacing = undefined;
    }
    this.#answers.clear();
  }

  async learned(indexUrl: string): Promise<Digest | undefined> {
    return this.#indexes.get(indexUrl)?.indexDigest;
  }

  async resolution(url: string): Promise<Resolution | undefined> {
    return this.#db.getSync<string, Resolution>(`r!${url}`, { valueEncoding: 'json' });
  }

  remember(url: string, resolution: Resolution): Promise<void> {
    return this.#db.put<string, Resolution>(`r!${url}`, resolution, { valueEncoding: 'json' });
  }

  note(key: string, text: string | undefined): Promise<void> {
    return text === undefined ? this.#db.del(`n!${key}`) : this.#db.put(`n!${key}`, text);
  }

  async notes(prefix: string): Promise<Map<string, string>> {
    const range = { gte: `n!${prefix}`, lt: `n!${prefix}\uffff` };
    const notes = new Map<string, string>();
    for await (const [key, text] of this.#db.iterator(range)) notes.set(key.slice(2), text);
    return notes;
  }

  async close(): Promise<void> {
    await this.#commits;
    await this.#db.close();
  }
}

async function openDatabase(folder: string): Promise<Database> {
  const db: Database = new Level(folder, { ...openOptions });
  try {
    await db.open();
    return db;
  } catch (error) {
    const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
    if (cause?.code !== 'LEVEL_CORRUPTION') throw error;
  }
  await removeDatabase(folder);
  await db.open();
  return db;
}

/**
 * Drops the resolutions that nobody asks for any more. Their age counts from the latest of their
 * host: while a host is away, what it said last holds, however long that is.
 */
async function dropUnasked(db: Database): Promise<void> {
  const latest = new Map<string, number>();
  const found: { key: string; host: string; checkedAtMs: number }[] = [];
  const range = { gt: 'r!', lt: 'r"', valueEncoding: 'json' };
  for await (const [key, { checkedAtMs }] of db.iterator<string, Resolution>(range)) {
    const host = key.split('/', 3)[2] ?? '';
    latest.set(host, Math.max(checkedAtMs, latest.get(host) ?? 0));
    found.push({ key, host, checkedAtMs });
  }
  const old = found.filter(({ host, checkedAtMs }) => {
    return (latest.get(host) ?? 0) - checkedAtMs > UNASKED_MS;
  });
  if (old.length > 0) await db.batch(old.map(({ key }) => ({ type: 'del', key })));
}

/** Only what LevelDB itself puts into its folder, but for its lock, which another may take. */
async function removeDatabase(folder: string): Promise<void> {
  const own = /^(?:CURRENT|LOG(?:\.old)?|MANIFEST-\d+|\d+\.(?:ldb|sst|log|dbtmp))$/;
  const names = (await readdir(folder)).filter((name) => own.test(name));
  await Promise.all(names.map((name) => rm(join(folder, name))));
}

function bucketKey(table: number, bucket: number): string {
  return `t!${table.toString(36)}!${bucket.toString(36).padStart(3, '0')}`;
}

function tableKeys(index: LevelIndex | undefined): string[] {
  if (!index || index.files === 0) return [];
  return Array.from({ length: index.buckets }, (_, at) => bucketKey(index.table, at));
}

/** Many indexes share one base (one for each suite and component): hash once for each base. */
function hashesBelow(url: string, candidates: readonly LevelIndex[]): PathHash[] {
  const byBase = new Map<number, PathHash>();
  return candidates.map(({ baseUrl: { length } }) => {
    const known = byBase.get(length);
    if (known) return known;
    const hash = new PathHash().of(url.slice(length));
    byBase.set(length, hash);
    return hash;
  });
}
