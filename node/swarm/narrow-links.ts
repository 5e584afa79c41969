// Whose link carries far less than most others', by their own word, which holds for a while.
import type { Clock } from '../platform/clock.ts';

/** So long after a member said that its link is narrow it gets no children. */
const NARROW_MS = 60_000;

export class NarrowLinks {
  readonly #clock: Clock;
  readonly #untilMs = new Map<string, number>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** What a member says of its link now. */
  note(id: string, narrow: boolean): void {
    if (narrow) this.#untilMs.set(id, this.#clock.monotonicMs() + NARROW_MS);
    else this.#untilMs.delete(id);
  }

  has(id: string): boolean {
    const untilMs = this.#untilMs.get(id);
    return untilMs !== undefined && untilMs > this.#clock.monotonicMs();
  }

  forget(id: string): void {
    this.#untilMs.delete(id);
  }
}
