// A compact table of path to digest and size: sorted records of fixed size in small buckets.
import { escapePath } from '../apt/canonical-url.ts';
import type { CatalogEntry, ListedFile } from './catalog.ts';

// 8 bytes hash of the path, 32 bytes digest, 6 bytes size.
const RECORD_BYTES = 46;
/** Buckets are read whole: 64 records are about one block of LevelDB. */
const BUCKET_RECORDS = 64;
/** What fits beside a 32 bit hash in the integers that a double holds. */
const RECORDS_MAX = 2 ** 21;

/** 64 bits of hash (two rounds of a multiplicative mix, after cyrb53); not against attackers. */
export class PathHash {
  high = 0;
  low = 0;

  of(text: string): this {
    let a = 0xdeadbeef;
    let b = 0x41c6ce57;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      a = Math.imul(a ^ code, 2654435761);
      b = Math.imul(b ^ code, 1597334677);
    }
    a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
    b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
    this.high = a >>> 0;
    this.low = b >>> 0;
    return this;
  }
}

/** How many buckets a table of `records` has: a power of two. */
function bucketCount(records: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(records / BUCKET_RECORDS || 1)));
}

/** The bucket out of `buckets` (a power of two, at most 2^15) that holds a path's record. */
export function bucketOf(hash: PathHash, buckets: number): number {
  return Math.floor((hash.high / 2 ** 32) * buckets);
}

/** Collects records in any order; `buckets()` gives them sorted. */
export class DigestTableBuilder {
  readonly #hash = new PathHash();
  #records = ownBuffer(256 * RECORD_BYTES);
  count = 0;

  /** Throws RangeError beyond two million files. */
  add({ path, digest, size }: ListedFile): void {
    const at = this.count * RECORD_BYTES;
    if (at === this.#records.length) this.#grow();
    if (this.count === RECORDS_MAX) throw new RangeError(`more than ${RECORDS_MAX} files`);
    const { high, low } = this.#hash.of(escapePath(path));
    this.#records.writeUInt32BE(high, at);
    this.#records.writeUInt32BE(low, at + 4);
    this.#records.write(digest, at + 8, 32, 'hex');
    this.#records.writeUIntBE(size, at + 40, 6);
    this.count++;
  }

  /** One buffer for each bucket, in order; of equal paths the one added first comes first. */
  buckets(): Buffer[] {
    const order = new Float64Array(this.count);
    for (let index = 0; index < this.count; index++) {
      order[index] = this.#records.readUInt32BE(index * RECORD_BYTES) * RECORDS_MAX + index;
    }
    order.sort();
    const buckets = bucketCount(this.count);
    const sorted = ownBuffer(this.count * RECORD_BYTES);
    const source = new Uint16Array(this.#records.buffer);
    const target = new Uint16Array(sorted.buffer);
    const starts = new Array<number>(buckets + 1).fill(sorted.length);
    let at = 0;
    let next = 0;
    for (const key of order) {
      const high = Math.floor(key / RECORDS_MAX);
      const bucket = Math.floor((high / 2 ** 32) * buckets);
      while (next <= bucket) starts[next++] = at;
      const from = ((key - high * RECORDS_MAX) * RECORD_BYTES) / 2;
      // A loop over so few is several times faster than Buffer.copy.
      for (let n = 0; n < RECORD_BYTES / 2; n++) target[at / 2 + n] = source[from + n]!;
      at += RECORD_BYTES;
    }
    return Array.from({ length: buckets }, (_, n) => sorted.subarray(starts[n], starts[n + 1]));
  }

  #grow(): void {
    const larger = ownBuffer(this.#records.length * 2);
    this.#records.copy(larger);
    this.#records = larger;
  }
}

/** Not out of Node's pool: it begins where its memory does. */
function ownBuffer(bytes: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(bytes));
}

/** The entry of a path in its bucket, by binary search. */
export function findEntry(bucket: Buffer, hash: PathHash): CatalogEntry | undefined {
  let low = 0;
  let high = bucket.length / RECORD_BYTES;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (bucket.readUInt32BE(middle * RECORD_BYTES) < hash.high) low = middle + 1;
    else high = middle;
  }
  for (let at = low * RECORD_BYTES; at < bucket.length; at += RECORD_BYTES) {
    if (bucket.readUInt32BE(at) !== hash.high) return undefined;
    if (bucket.readUInt32BE(at + 4) !== hash.low) continue;
    const digest = bucket.toString('hex', at + 8, at + 40);
    return { digest, size: bucket.readUIntBE(at + 40, 6) };
  }
  return undefined;
}
