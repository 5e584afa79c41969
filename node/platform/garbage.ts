// Memory of dead buffers, collected in time. Chunks from sockets and files die young, but V8 sees
// only the few bytes of heap that stand for them: it would come late, and mark everything.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** A collection of the young costs a millisecond or two; after so many bytes it is worth that. */
const EVERY_BYTES = 12 * 1024 * 1024;

export interface Garbage {
  /** So many bytes of buffers will soon be of no use. */
  note(bytes: number): void;
}

export function youngGarbage(): Garbage {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
  let bytes = 0;
  return {
    note(more) {
      bytes += more;
      if (bytes < EVERY_BYTES) return;
      bytes = 0;
      collect({ type: 'minor' });
    },
  };
}

export const noGarbage: Garbage = { note() {} };
