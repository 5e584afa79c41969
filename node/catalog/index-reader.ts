// From the bytes of a Packages or Sources file, packed or not, to rows of the catalog.
import { IndexScanner, scanIndex } from '../apt/packages-file.ts';
import { reasonOf } from '../errors.ts';
import { MiB } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Catalog, LearnedIndex, ListedFile } from './catalog.ts';
import { type DecompressOptions, decompress } from './decompress.ts';

interface IndexReaderDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Log;
}

/** Debian's main Sources is 50 MB; what unpacks to more than this is no index. */
const INDEX_BYTES_MAX = 1024 * MiB;

export class IndexReader {
  readonly #deps: IndexReaderDeps;
  readonly #options: Omit<DecompressOptions, 'niceness'>;
  #closed = false;

  constructor(deps: IndexReaderDeps, options: Omit<DecompressOptions, 'niceness'>) {
    this.#deps = deps;
    this.#options = options;
  }

  /** The number of files learned. A broken index is told of; what was known before holds. */
  async learn(
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

  /** What is being read is given up. */
  close(): void {
    this.#closed = true;
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
