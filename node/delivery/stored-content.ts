// What the store has, as content for a client.

import type { WrongObjects } from '../fetch/wrong-objects.ts';
import { PIECE_BYTES } from '../limits.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { ObjectReader } from '../store/store.ts';
import type { Content } from './delivery.ts';

interface StoredContentDeps {
  readonly counters: Counters;
  readonly garbage: Garbage;
  readonly wrong: WrongObjects;
}

/** What a slow client may hold of one object at once; larger ones go piece by piece. */
const WHOLE_BYTES_MAX = 2 * PIECE_BYTES;

const nothingToCome = Promise.resolve();

/** `extra`: what is known of it besides. */
export function storedContent(
  deps: StoredContentDeps,
  stored: ObjectReader,
  extra: Partial<Content>,
): Content {
  const { counters, garbage, wrong } = deps;
  const { digest, size, lastModified, body } = stored;
  const whole = (bytes: Buffer) => {
    counters.add('apt.bytes.local', size);
    wrong.healed(digest);
    return bytes;
  };
  return {
    ...(body && size <= WHOLE_BYTES_MAX ? { whole: () => whole(body) } : {}),
    ...(lastModified === undefined ? {} : { lastModified }),
    ...extra,
    digest,
    size,
    arrived: nothingToCome,
    mustRestart: wrong.tainted(digest),
    async *read(start, end = size) {
      for (let at = start; at < end; ) {
        const length = Math.min(PIECE_BYTES - (at % PIECE_BYTES), end - at);
        const bytes = await stored.read(at, length);
        counters.add('apt.bytes.local', length);
        garbage.note(length);
        at += length;
        if (start === 0 && at === size) wrong.healed(digest);
        yield bytes;
      }
    },
    close: () => void stored.close(),
  };
}
