// Small objects that are asked for again and again, in memory, under a budget of bytes.
import type { Digest } from '../content/digest.ts';
import type { StoredObject } from './store.ts';

/** A whole object: what it is, its bytes and the hashes of its pieces. */
export interface HotObject {
  readonly object: StoredObject;
  readonly body: Buffer;
  readonly pieceHashes: Buffer;
}

export class HotCache {
  readonly #max: number;
  /** Least recently used first. */
  readonly #objects = new Map<Digest, HotObject>();
  #bytes = 0;

  constructor(options: { maxBytes: number }) {
    this.#max = options.maxBytes;
  }

  get(digest: Digest): HotObject | undefined {
    const object = this.#objects.get(digest);
    if (object === undefined) return undefined;
    this.#objects.delete(digest);
    this.#objects.set(digest, object);
    return object;
  }

  add(digest: Digest, object: HotObject): void {
    this.delete(digest);
    this.#objects.set(digest, object);
    this.#bytes += object.body.length;
    for (const oldest of this.#objects.keys()) {
      if (this.#bytes <= this.#max) return;
      this.delete(oldest);
    }
  }

  delete(digest: Digest): void {
    const object = this.#objects.get(digest);
    if (object === undefined) return;
    this.#objects.delete(digest);
    this.#bytes -= object.body.length;
  }
}
