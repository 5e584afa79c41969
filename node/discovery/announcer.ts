// Which object is announced when: new ones soon, all held ones again in a slow, even cycle.
import type { Digest } from '../content/digest.ts';
import type { Clock, Timer } from '../platform/clock.ts';

export interface AnnouncerDeps {
  readonly clock: Clock;
  /** Announces one object; the next one waits for it. Never rejects. */
  send(digest: Digest): Promise<void>;
  /** False: nobody is there to be told; `wake` says when. */
  ready(): boolean;
  /** True while the machine has better things to do: announcements go slower. */
  busy(): boolean;
}

export interface AnnouncerOptions {
  /** All held objects are announced again within this time. */
  readonly cycleMs: number;
  /** Pause between new objects. */
  readonly paceMs: number;
  /** Pause while more than `backlog` wait, as after a start with a full store. */
  readonly slowPaceMs: number;
  readonly backlog: number;
}

/** While transfers run, their bytes matter more than who else may learn of them. */
const BUSY_PACE_MS = 30_000;

export class Announcer {
  readonly #deps: AnnouncerDeps;
  readonly #options: AnnouncerOptions;
  // In the order of announcement: the longest ago first.
  readonly #held = new Set<Digest>();
  readonly #fresh = new Set<Digest>();
  #timer: Timer | undefined;
  #sending = false;
  #closed = false;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(deps: AnnouncerDeps, options: AnnouncerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Objects held, announced or not yet. */
  get size(): number {
    return this.#held.size + this.#fresh.size;
  }

  add(digest: Digest): void {
    if (this.#held.has(digest) || this.#fresh.has(digest)) return;
    this.#fresh.add(digest);
    if (this.#fresh.size === 1) this.wake();
  }

  remove(digest: Digest): void {
    this.#fresh.delete(digest);
    this.#held.delete(digest);
  }

  /** Someone is there now, or there is something new. */
  wake(): void {
    if (this.#closed || this.#sending || this.size === 0 || !this.#deps.ready()) return;
    this.#timer?.cancel();
    const dueMs = this.#lastMs + this.#pauseMs() - this.#deps.clock.monotonicMs();
    this.#timer = this.#deps.clock.after(Math.max(0, dueMs), () => void this.#next());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #pauseMs(): number {
    const { cycleMs, paceMs, slowPaceMs, backlog } = this.#options;
    if (this.#fresh.size === 0) return Math.max(paceMs, cycleMs / this.#held.size);
    const pauseMs = this.#fresh.size > backlog ? slowPaceMs : paceMs;
    return this.#deps.busy() ? Math.max(BUSY_PACE_MS, pauseMs) : pauseMs;
  }

  async #next(): Promise<void> {
    this.#timer = undefined;
    const [digest] = this.#fresh.size > 0 ? this.#fresh : this.#held;
    if (digest === undefined || !this.#deps.ready()) return;
    this.remove(digest);
    this.#held.add(digest);
    this.#lastMs = this.#deps.clock.monotonicMs();
    this.#sending = true;
    await this.#deps.send(digest);
    this.#sending = false;
    this.wake();
  }
}
