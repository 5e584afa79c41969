// The store port: the objects this node has, and the partial ones on their way in.
import type { Digest } from '../content/digest.ts';

export interface StoredObject {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Upstream's Last-Modified (HTTP-date), where it is known. */
  readonly lastModified?: string;
}

/** An object opened for reading; what is open stays readable even when it is evicted meanwhile. */
export interface ObjectReader extends StoredObject {
  /**
   * SHA-256 of each piece (limits.PIECE_BYTES), 32 bytes each, as computed when it came in. The
   * store does not compare them: whoever passes bytes on does, and deletes an object that rotted.
   */
  readonly pieceHashes: Buffer;
  /** All its bytes, where they are in memory anyway. */
  readonly body?: Buffer;
  /**
   * Exactly `length` bytes from `offset`; throws when the object is shorter or unreadable. The
   * store may put them into `into`, memory of that length, and returns it then.
   */
  read(offset: number, length: number, into?: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

/** An object that is coming in, from its first byte on; grows at its end only. */
export interface PartialObject {
  /** Bytes written so far. */
  readonly bytes: number;
  /**
   * Appends all of `chunks` or nothing; resolves when the bytes can be read back. Rejects
   * (ENOSPC …) without harm to what came earlier. Once it has settled, the caller may use the
   * memory of `chunks` again.
   */
  append(...chunks: Buffer[]): Promise<void>;
  /** As in ObjectReader. */
  read(offset: number, length: number, into?: Buffer): Promise<Buffer>;
  /**
   * Makes the whole bytes a stored object under `digest`. The caller has verified them.
   * `pieceHashes` as in ObjectReader. The partial cannot be written afterwards;
   * `read` goes on working while the object is stored.
   */
  commit(object: StoredObject, pieceHashes: Buffer): Promise<void>;
  /** Closes; the bytes stay for a later `partial` of the same key (also after a restart). */
  suspend(): Promise<void>;
  /** Closes and removes the bytes. */
  discard(): Promise<void>;
}

export interface StoreEvents {
  added: [object: StoredObject];
  removed: [object: StoredObject];
}

export interface Store {
  /** Answers from memory. */
  stat(digest: Digest): StoredObject | undefined;
  /** `undefined` when it is not here (any more) or fails verification. Marks it as used. */
  open(digest: Digest): Promise<ObjectReader | undefined>;
  /**
   * As `open`, at once: `undefined` also when it takes more than memory to tell, or when its bytes
   * do not lie there. What it gives has a `body`.
   */
  atHand(digest: Digest): ObjectReader | undefined;
  /**
   * Starts or resumes a partial object under `key` (a digest, or any other name of at most 200
   * characters of [A-Za-z0-9._-]). One at a time per key. `sizeHint` in bytes lets the store make
   * room by eviction beforehand.
   */
  partial(key: string, sizeHint?: number): Promise<PartialObject>;
  delete(digest: Digest): Promise<void>;
  /** All objects, in no order. */
  list(): Iterable<StoredObject>;
  readonly objects: number;
  /** Bytes of all stored objects; what is borrowed from apt's archive folder does not count. */
  readonly bytes: number;
  on<E extends keyof StoreEvents>(event: E, fn: (...args: StoreEvents[E]) => void): void;
  close(): Promise<void>;
}
