// The catalog port: what a URL means.
import type { Digest } from '../content/digest.ts';

/** What a fixed name stands for. */
export interface CatalogEntry {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** A file that an index lists: its URL below the index's base, and what it is. */
export interface ListedFile extends CatalogEntry {
  /** Path below the base, as in the index (`pool/main/h/hello/hello_1_amd64.deb`), not escaped. */
  readonly path: string;
}

/** An index that files are learned from. */
export interface LearnedIndex {
  readonly indexUrl: string;
  readonly indexDigest: Digest;
  /** What the files' paths are relative to; ends with a slash. */
  readonly baseUrl: string;
  /** Not seen on its way to apt: believed where no other index with this base knows a file. */
  readonly secondHand?: boolean;
}

/** What a volatile name stood for when upstream was last asked. */
export interface Resolution {
  /** 200, or an upstream answer worth remembering (404, 410). */
  readonly status: number;
  /** Present with status 200. */
  readonly digest?: Digest;
  readonly size?: number;
  readonly lastModified?: string;
  readonly etag?: string;
  readonly contentType?: string;
  /** When upstream last confirmed it, wall clock in ms. */
  readonly checkedAtMs: number;
}

export interface Catalog {
  /** What the indexes learned so far say of a canonical URL (apt/canonical-url.ts). */
  lookup(url: string): Promise<CatalogEntry | undefined>;
  /** As `lookup`, at once: `undefined` also when it takes more than memory to tell. */
  atHand(url: string): CatalogEntry | undefined;
  /**
   * Replaces all that was learned from the index at `indexUrl` by `files`, atomically: when it
   * rejects or the process dies, the old files hold. Returns the number of files learned.
   */
  learn(
    index: LearnedIndex,
    files: AsyncIterable<ListedFile> | Iterable<ListedFile>,
  ): Promise<number>;
  /** The digest of the index last learned from `indexUrl`. */
  learned(indexUrl: string): Promise<Digest | undefined>;
  resolution(url: string): Promise<Resolution | undefined>;
  remember(url: string, resolution: Resolution): Promise<void>;
  /** Keeps a short text under `key` across restarts; `undefined` removes it. */
  note(key: string, text: string | undefined): Promise<void>;
  /** All notes whose key starts with `prefix`, by key. */
  notes(prefix: string): Promise<Map<string, string>>;
  close(): Promise<void>;
}
