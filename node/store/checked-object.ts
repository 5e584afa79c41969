// What the store gives is checked before anybody gets it: disks forget.
import { sha256 } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import { PIECE_BYTES } from '../limits.ts';
import type { ObjectReader, Store } from './store.ts';

/**
 * `object` with its pieces compared to their SHA-256. A read that does not fit throws HerdError
 * SOURCE_FAILED, and the object leaves the store. Reads should lie within one piece.
 */
export function checkedObject(store: Store, object: ObjectReader): ObjectReader {
  // What is in memory was checked when it was read.
  if (object.body) return object;
  const piece = async (index: number, into?: Buffer): Promise<Buffer> => {
    const offset = index * PIECE_BYTES;
    const length = Math.min(PIECE_BYTES, object.size - offset);
    const bytes = await object.read(offset, length, into?.length === length ? into : undefined);
    if (sha256(bytes).equals(object.pieceHashes.subarray(index * 32, index * 32 + 32)))
      return bytes;
    await store.delete(object.digest);
    throw new HerdError('SOURCE_FAILED', `piece ${index} of ${object.digest} rotted in the store`);
  };
  return {
    ...object,
    async read(offset, length, into) {
      const parts: Buffer[] = [];
      for (let at = offset; at < offset + length; ) {
        const index = Math.floor(at / PIECE_BYTES);
        const from = at - index * PIECE_BYTES;
        const whole = await piece(index, into);
        const part = whole.subarray(from, from + offset + length - at);
        if (part.length === 0) throw new RangeError(`bytes ${offset}+${length} of ${object.size}`);
        parts.push(part);
        at += part.length;
      }
      return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    },
    close: () => object.close(),
  };
}
