// The pace of a source whose bytes cannot be stored: that of the slowest reader, within reason.
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { FlightReader } from './flight-reader.ts';
import type { PieceRing } from './piece-ring.ts';
import type { StoredPieces } from './stored-pieces.ts';

/** Pieces held in memory when the disk takes no more; the source waits for the slowest reader. */
const OVERFLOW_PIECES = 64;
/** A reader that stands still for so long does not hold up the others when nothing is stored. */
const OVERFLOW_STALL_MS = 4_000;

interface ReaderPaceDeps {
  readonly clock: Clock;
  /** It changes also when a reader has left or, while the source is `waiting`, moved. */
  readonly flight: {
    readonly state: 'running' | 'whole' | 'failed';
    readonly pieces: number;
    changed(): Promise<void>;
  };
  readonly readers: ReadonlySet<Pick<FlightReader, 'index' | 'leftBehind'>>;
  readonly ring: Pick<PieceRing, 'trim'>;
  /** What was stored before the disk was full can be read from there. */
  readonly stored: Pick<StoredPieces, 'written'>;
}

export class ReaderPace {
  readonly #deps: ReaderPaceDeps;
  #waiting = false;

  constructor(deps: ReaderPaceDeps) {
    this.#deps = deps;
  }

  /** The source waits for readers. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** Drops what all have read; resolves when there is room for another piece. */
  async wait(): Promise<void> {
    const { clock, flight, ring } = this.#deps;
    let stuckAt = -1;
    let sinceMs = 0;
    while (flight.state === 'running') {
      const slowest = this.#slowest();
      ring.trim(Math.min(slowest, flight.pieces - 1));
      if (flight.pieces - slowest < OVERFLOW_PIECES) return;
      if (slowest !== stuckAt) {
        stuckAt = slowest;
        sinceMs = clock.monotonicMs();
      }
      const leftMs = sinceMs + OVERFLOW_STALL_MS - clock.monotonicMs();
      if (leftMs <= 0 && this.#leaveBehind(slowest)) continue;
      this.#waiting = true;
      const waitMs = leftMs > 0 ? leftMs : OVERFLOW_STALL_MS;
      await withDeadline(clock, flight.changed(), waitMs, undefined);
      this.#waiting = false;
    }
  }

  #slowest(): number {
    const { flight, readers, stored } = this.#deps;
    let slowest = flight.pieces;
    for (const reader of readers) {
      if (!reader.leftBehind) slowest = Math.min(slowest, Math.max(reader.index, stored.written));
    }
    return slowest;
  }

  /** Goes on without those who stand still at `index`, if others wait. */
  #leaveBehind(index: number): boolean {
    const { stored } = this.#deps;
    const readers = [...this.#deps.readers].filter(
      (reader) => !reader.leftBehind && reader.index >= stored.written,
    );
    if (readers.every((reader) => reader.index <= index)) return false;
    for (const reader of readers) if (reader.index <= index) reader.leftBehind = true;
    return true;
  }
}
