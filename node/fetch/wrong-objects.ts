// What is remembered of objects whose bytes turned out wrong when all of them were here: who gave
// them, and that clients may hold some.
import type { Digest } from '../content/digest.ts';
import type { Clock } from '../platform/clock.ts';

interface Wrong {
  /** Members that gave of it. */
  readonly givers: ReadonlySet<string>;
  /** Clients got some of it. */
  readonly released: boolean;
  /** Monotonic. */
  readonly sinceMs: number;
}

/** So long a client that may hold wrong bytes is made to start from the beginning. */
const TAINT_MS = 10 * 60_000;
/** So long those who gave of it are not asked for it again. */
const SUSPECT_MS = 60_000;
const OBJECTS_MAX = 1_000;

export class WrongObjects {
  readonly #clock: Clock;
  readonly #wrong = new Map<Digest, Wrong>();

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  add(digest: Digest, { givers, released }: Omit<Wrong, 'sinceMs'>): void {
    const before = released || this.tainted(digest);
    this.#wrong.delete(digest);
    const sinceMs = this.#clock.monotonicMs();
    this.#wrong.set(digest, { givers, released: before, sinceMs });
    for (const [oldest] of this.#wrong) {
      if (this.#wrong.size <= OBJECTS_MAX) break;
      this.#wrong.delete(oldest);
    }
  }

  /** Whether clients may hold wrong bytes of it. */
  tainted(digest: Digest): boolean {
    return this.#within(digest, TAINT_MS)?.released ?? false;
  }

  /** Whom it did not come right from a moment ago. */
  suspects(digest: Digest): ReadonlySet<string> | undefined {
    return this.#within(digest, SUSPECT_MS)?.givers;
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
