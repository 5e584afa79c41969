// How much room the disk has: its free space above a floor.
import { statfs } from 'node:fs/promises';
import type { Clock } from '../platform/clock.ts';

const trustMs = 5000;

/** Free space of the disk that holds `folder`, asked for rarely and estimated between. */
export class FreeSpace {
  readonly #clock: Clock;
  readonly #folder: string;
  readonly #floor: number;
  #free = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  constructor(deps: { clock: Clock }, options: { folder: string; minFreeBytes: number }) {
    this.#clock = deps.clock;
    this.#folder = options.folder;
    this.#floor = options.minFreeBytes;
  }

  /** Bytes that must go before `bytes` more may be written; 0 when they may. */
  async missing(bytes: number): Promise<number> {
    if (this.#floor === 0) return 0;
    const age = this.#clock.monotonicMs() - this.#askedAt;
    if (age > trustMs || this.#free - bytes < this.#floor) await this.#ask();
    return Math.max(0, this.#floor + bytes - this.#free);
  }

  written(bytes: number): void {
    this.#free -= bytes;
  }

  async #ask(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    this.#free = bavail * bsize;
    this.#askedAt = this.#clock.monotonicMs();
  }
}

/** The errno that a full disk gives, for a disk that we do not want to fill. */
export function belowFloor(folder: string): NodeJS.ErrnoException {
  const error = new Error(`ENOSPC: free space below the floor, ${folder}`);
  return Object.assign(error, { code: 'ENOSPC' });
}
