// Notices exchanges that have gone quiet, by ticks instead of by the clock: a process that got no
// CPU for seconds has not given its peers a chance, and must not blame them for its own pause.
import type { Clock, Timer } from '../platform/clock.ts';

export interface QuietGuard {
  /** A sign of life. */
  beat(): void;
  /** From now on this many ticks without a sign of life are too many. */
  allow(ticks: number): void;
  end(): void;
}

interface Entry {
  quiet: number;
  max: number;
  readonly onQuiet: () => 'excused' | 'over';
}

export class QuietWatch {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #entries = new Set<Entry>();
  #timer: Timer | undefined;

  constructor(deps: { clock: Clock }, options: { tickMs: number }) {
    this.#clock = deps.clock;
    this.#tickMs = options.tickMs;
  }

  /** Calls `onQuiet` after more than `ticks` ticks without a beat, until it says 'over'. */
  guard(ticks: number, onQuiet: () => 'excused' | 'over'): QuietGuard {
    const entry: Entry = { quiet: 0, max: ticks, onQuiet };
    this.#entries.add(entry);
    this.#timer ??= this.#clock.every(this.#tickMs, () => this.#tick());
    return {
      beat: () => {
        entry.quiet = 0;
      },
      allow: (more) => {
        entry.max = more;
        entry.quiet = 0;
      },
      end: () => this.#remove(entry),
    };
  }

  #tick(): void {
    for (const entry of this.#entries) {
      if (++entry.quiet <= entry.max) continue;
      if (entry.onQuiet() === 'excused') entry.quiet = 0;
      else this.#remove(entry);
    }
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry);
    if (this.#entries.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
