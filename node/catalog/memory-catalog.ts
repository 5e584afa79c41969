// The catalog in plain Maps: for tests and simulations.
import { escapePath } from '../apt/canonical-url.ts';
import type { Digest } from '../content/digest.ts';
import type { Catalog, CatalogEntry, LearnedIndex, ListedFile, Resolution } from './catalog.ts';
import { type KnownIndex, KnownIndexes } from './known-indexes.ts';

interface MemoryIndex extends KnownIndex {
  readonly files: ReadonlyMap<string, CatalogEntry>;
}

export class MemoryCatalog implements Catalog {
  readonly #indexes = new KnownIndexes<MemoryIndex>();
  readonly #resolutions = new Map<string, Resolution>();
  readonly #notes = new Map<string, string>();

  async lookup(url: string): Promise<CatalogEntry | undefined> {
    return this.atHand(url);
  }

  atHand(url: string): CatalogEntry | undefined {
    for (const { baseUrl, files } of this.#indexes.candidates(url)) {
      const entry = files.get(url.slice(baseUrl.length));
      if (entry) return entry;
    }
    return undefined;
  }

  async learn(
    index: LearnedIndex,
    listed: AsyncIterable<ListedFile> | Iterable<ListedFile>,
  ): Promise<number> {
    const files = new Map<string, CatalogEntry>();
    let count = 0;
    for await (const { path, digest, size } of listed) {
      const key = escapePath(path);
      if (!files.has(key)) files.set(key, { digest, size });
      count++;
    }
    this.#indexes.set({ ...index, files, sequence: this.#indexes.nextSequence() });
    return count;
  }

  async learned(indexUrl: string): Promise<Digest | undefined> {
    return this.#indexes.get(indexUrl)?.indexDigest;
  }

  async resolution(url: string): Promise<Resolution | undefined> {
    return this.#resolutions.get(url);
  }

  async remember(url: string, resolution: Resolution): Promise<void> {
    this.#resolutions.set(url, resolution);
  }

  async note(key: string, text: string | undefined): Promise<void> {
    if (text === undefined) this.#notes.delete(key);
    else this.#notes.set(key, text);
  }

  async notes(prefix: string): Promise<Map<string, string>> {
    return new Map([...this.#notes].filter(([key]) => key.startsWith(prefix)));
  }

  async close(): Promise<void> {}
}
