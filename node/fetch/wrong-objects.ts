// What is remembered of objects whose bytes turned out wrong, or were said to be: who may be why,
// and that clients may hold some.
import type { Digest } from '../content/digest.ts';
import type { Clock } from '../platform/clock.ts';

interface Wrong {
  /** Members that gave of it, or said so. */
  readonly suspects: ReadonlySet<string>;
  /** Clients got some of it. */
  readonly released: boolean;
  /** Monotonic. */
  readonly sinceMs: number;
}

/** So long a client that may hold wrong bytes is made to start from the beginning. */
const TAINT_MS = 10 * 60_000;
/** So long those are no source of it. */
const SUSPECT_MS = 60_000;
const OBJECTS_MAX = 1_000;

export class WrongObjects {
  readonly #clock: Clock;
  readonly #wrong = new Map<Digest, Wrong>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  add(digest: Digest, { suspects, released }: Omit<Wrong, 'sinceMs'>): void {
    const before = released || this.tainted(digest);
    this.#wrong.delete(digest);
    const sinceMs = this.#clock.monotonicMs();
    this.#wrong.set(digest, { suspects, released: before, sinceMs });
    for (const [oldest] of this.#wrong) {
      if (this.#wrong.size <= OBJECTS_MAX) break;
      this.#wrong.delete(oldest);
    }
  }

  /** Whether clients may hold wrong bytes of it. */
  tainted(digest: Digest): boolean {
    return this.#within(digest, TAINT_MS)?.released ?? false;
  }

  /** From whom it did not come right a moment ago. */
  suspects(digest: Digest): ReadonlySet<string> | undefined {
    return this.#within(digest, SUSPECT_MS)?.suspects;
  }

  /** A client got the whole right body. */
  healed(digest: Digest): void {
    this.#wrong.delete(digest);
  }

  #within(digest: Digest, ms: number): Wrong | undefined {
    const wrong = this.#wrong.get(digest);
    return wrong && wrong.sinceMs + ms > this.#clock.monotonicMs() ? wrong : undefined;
  }
}
