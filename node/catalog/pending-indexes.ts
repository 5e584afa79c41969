// Indexes that were seen and not yet learned: kept in the catalog's notes, across restarts.
import type { Catalog, LearnedIndex } from './catalog.ts';

export interface PendingIndex extends LearnedIndex {
  /** Asked for by hash in a flat folder: may as well be a Translation file. */
  readonly guessed: boolean;
}

type Notes = Pick<Catalog, 'note' | 'notes'>;

const NOTE = 'pending!';

export class PendingIndexes {
  readonly #notes: Notes;
  readonly #byUrl: Map<string, PendingIndex>;

  private constructor(notes: Notes, byUrl: Map<string, PendingIndex>) {
    this.#notes = notes;
    this.#byUrl = byUrl;
  }

  /** Takes up those that were pending when the daemon ended. */
  static async open(notes: Notes): Promise<PendingIndexes> {
    const byUrl = new Map<string, PendingIndex>();
    for (const text of (await notes.notes(NOTE)).values()) {
      const index = JSON.parse(text) as PendingIndex;
      byUrl.set(index.indexUrl, index);
    }
    return new PendingIndexes(notes, byUrl);
  }

  get size(): number {
    return this.#byUrl.size;
  }

  get(indexUrl: string): PendingIndex | undefined {
    return this.#byUrl.get(indexUrl);
  }

  /** False for one that has been replaced or settled. */
  has(index: PendingIndex): boolean {
    return this.#byUrl.get(index.indexUrl) === index;
  }

  all(): PendingIndex[] {
    return [...this.#byUrl.values()];
  }

  /** Whether the archive of any of them covers `url`. */
  mayList(url: string): boolean {
    for (const { baseUrl } of this.#byUrl.values()) if (url.startsWith(baseUrl)) return true;
    return false;
  }

  /** Takes the place of an older one with the same URL. */
  async add(index: PendingIndex): Promise<void> {
    this.#byUrl.set(index.indexUrl, index);
    await this.#notes.note(NOTE + index.indexUrl, JSON.stringify(index));
  }

  /** It is learned, or never will be; one that took its place stays. */
  async settle(index: PendingIndex): Promise<void> {
    if (!this.has(index)) return;
    this.#byUrl.delete(index.indexUrl);
    await this.#notes.note(NOTE + index.indexUrl, undefined);
  }
}
