// An object's bytes from the first to the last, for those who read it whole.
import type { Digest } from '../content/digest.ts';
import { PIECE_BYTES } from '../limits.ts';
import type { ObjectReader, Store } from './store.ts';

/** `undefined`: it is not here (any more). The iterator closes the object; it has to be begun. */
export async function readObject(
  store: Store,
  digest: Digest,
): Promise<AsyncIterable<Buffer> | undefined> {
  const object = await store.open(digest);
  return object && chunksOf(object);
}

async function* chunksOf(object: ObjectReader): AsyncGenerator<Buffer> {
  try {
    for (let at = 0; at < object.size; at += PIECE_BYTES) {
      yield await object.read(at, Math.min(PIECE_BYTES, object.size - at));
    }
  } finally {
    await object.close();
  }
}
