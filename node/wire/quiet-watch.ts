// Notices exchanges that have gone quiet, by ticks instead of by the clock: a process that got no
// CPU for seconds has not given its peers a chance, and must not blame them for its own pause.
import type { Clock, Timer } from '../platform/clock.ts';

export interface QuietGuard {
  /** A sign of life. */
  beat(): void;
  end(): void;
}

/** What is done about a silence that may yet end. */
export interface Doubt {
  /** Ticks without a beat that raise none. */
  readonly afterTicks: number;
  /** Called once in a silence. */
  readonly look: () => void;
}

interface Entry {
  quiet: number;
  readonly max: number;
  readonly onQuiet: () => 'excused' | 'over';
  readonly doubt: Doubt | undefined;
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
  guard(ticks: number, onQuiet: () => 'excused' | 'over', doubt?: Doubt): QuietGuard {
    const entry: Entry = { quiet: 0, max: ticks, onQuiet, doubt };
    this.#entries.add(entry);
    this.#timer ??= this.#clock.every(this.#tickMs, () => this.#tick());
    return {
      beat: () => {
        entry.quiet = 0;
      },
      end: () => this.#remove(entry),
    };
  }

  #tick(): void {
    for (const entry of this.#entries) {
      entry.quiet++;
      if (entry.quiet - 1 === entry.doubt?.afterTicks) entry.doubt.look();
      if (entry.quiet <= entry.max) continue;
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
