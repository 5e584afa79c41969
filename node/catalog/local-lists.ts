// The port to indexes that this machine keeps itself, besides those that went through this node.
import type { CatalogEntry, LearnedIndex } from './catalog.ts';

/** One index on this machine. */
export interface LocalList {
  /** `indexUrl` and `indexDigest` are the list's own: another digest says that it has changed. */
  readonly index: LearnedIndex;
  read(): AsyncIterable<Buffer>;
}

export interface LocalLists {
  /** Another number once any list has come, gone or changed; undefined when there are none. */
  revision(): Promise<number | undefined>;
  /** Those whose archive covers `url`, or all. */
  lists(url?: string): Promise<LocalList[]>;
  /**
   * The text of the index at `indexUrl`; undefined unless one of the `promised` size is here.
   * Throws at its end unless its bytes are the promised ones: what came before must not be used
   * then.
   */
  unpacked(indexUrl: string, promised: CatalogEntry): Promise<AsyncIterable<Buffer> | undefined>;
}
