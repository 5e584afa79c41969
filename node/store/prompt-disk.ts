import type { Clock } from '../platform/clock.ts';

/** A disk that held up the process for so long is left to other threads for a while. */
const heldUpMs = 250;
const slowMs = 10_000;

/**
 * Disk work at once, not in another thread: for what the page cache takes or has. There two changes
 * of thread cost more than the work itself.
 */
export class PromptDisk {
  readonly #clock: Clock;
  #slowUntilMs = Number.NEGATIVE_INFINITY;

  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** False while work should go the long way. */
  get ready(): boolean {
    return this.#clock.monotonicMs() >= this.#slowUntilMs;
  }

  run<T>(work: () => T): T {
    const startMs = this.#clock.monotonicMs();
    try {
      return work();
    } finally {
      const endMs = this.#clock.monotonicMs();
      if (endMs - startMs > heldUpMs) this.#slowUntilMs = endMs + slowMs;
    }
  }
}
