// When garbage is collected: the young in time, all of it while nothing is on its way. Chunks from
// sockets and files die young, but V8 sees only the few bytes of heap that stand for them: it would
// come late, and mark everything in the middle of a transfer.
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock, Timer } from './clock.ts';

/** A collection of the young costs a millisecond or two; after so many bytes it is worth that. */
const EVERY_BYTES = 12 * 1024 * 1024;

export interface Garbage {
  /** So many bytes of buffers will soon be of no use. */
  note(bytes: number): void;
}

/** Collecting all takes tens of milliseconds: not for less than so many bytes. */
const WORTH_BYTES = 4 * 1024 * 1024;
/** What dies while a node is idle: V8 would fill the 8 MiB of the young with it before it looks. */
const YOUNG_BYTES = 512 * 1024;
const LOOK_EVERY_MS = 10_000;
/** Apt checks signatures and unpacks between two files, which may take longer than one look. */
const QUIET_LOOKS = 3;

type Collect = (options: { type: 'minor' | 'major'; flavor?: 'last-resort' }) => void;

export function youngGarbage(): Garbage {
  const collect = collector();
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

interface IdleDeps {
  readonly clock: Clock;
  /** Whether something is on its way. */
  busy(): boolean;
  /** Grows with whatever is given out. */
  served(): number;
}

/**
 * Collects all while the node is idle, and gives the memory back, so that the heap is small when
 * the next transfer begins: V8's own limits (the launcher's options) leave that room until it is
 * over. What an idle node itself leaves behind dies young, and is collected as that.
 */
export function collectWhileIdle({ clock, busy, served }: IdleDeps): Timer {
  const collect = collector();
  /** In use after the last collection of all, and after the last one of any kind. */
  let kept = 0;
  let left = 0;
  let before = served();
  let quiet = 0;
  return clock.every(LOOK_EVERY_MS, () => {
    const last = before;
    before = served();
    quiet = busy() || before > last ? 0 : quiet + 1;
    if (quiet === 0) return;
    const used = usedBytes();
    if (quiet >= QUIET_LOOKS && used >= kept + WORTH_BYTES) {
      collect({ type: 'major', flavor: 'last-resort' });
      kept = left = usedBytes();
    } else if (used >= left + YOUNG_BYTES) {
      collect({ type: 'minor' });
      left = usedBytes();
    }
  });
}

function usedBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

export const noGarbage: Garbage = { note() {} };
