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
  /**
   * New objects are announced when none has come for this long: while a rollout goes on, their
   * owners know who has them, and each announcement is a lookup that the rollout would wait for.
   */
  readonly quietMs: number;
  /** Pause between new objects. */
  readonly paceMs: number;
  /** Pause while more than `backlog` wait, as after a start with a full store. */
  readonly slowPaceMs: number;
  readonly backlog: number;
}

/** While transfers run or objects keep coming, they matter more than who else may learn of them. */
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
  /** When the last announcement went out. */
  #lastMs = Number.NEGATIVE_INFINITY;
  /** When the oldest and the newest of the fresh ones came. */
  #oldestMs = 0;
  #newestMs = 0;

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
    this.#newestMs = this.#deps.clock.monotonicMs();
    this.#fresh.add(digest);
    if (this.#fresh.size > 1) return;
    this.#oldestMs = this.#newestMs;
    this.wake();
  }

  /**
   * Announces all as if it were new, and without waiting for quiet: none of it was brought by a
   * rollout among those who are to be told now.
   */
  again(): void {
    for (const digest of this.#held) this.#fresh.add(digest);
    this.#held.clear();
    this.#oldestMs = Number.NEGATIVE_INFINITY;
    this.#newestMs = Number.NEGATIVE_INFINITY;
    this.wake();
  }

  remove(digest: Digest): void {
    this.#fresh.delete(digest);
    this.#held.delete(digest);
  }

  /** Someone is there now, or there is something new. */
  wake(): void {
    if (this.#closed || this.#sending || this.size === 0 || !this.#deps.ready()) return;
    this.#timer?.cancel();
    const waitMs = Math.max(0, this.#dueMs() - this.#deps.clock.monotonicMs());
    // A transfer may end sooner: nothing tells of that.
    const lookMs = Math.max(this.#options.quietMs, this.#options.paceMs);
    const soonMs = this.#fresh.size > 0 ? Math.min(waitMs, lookMs) : waitMs;
    this.#timer = this.#deps.clock.after(soonMs, () => this.#turn());
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #dueMs(): number {
    const { cycleMs, quietMs, paceMs, slowPaceMs, backlog } = this.#options;
    if (this.#fresh.size === 0) {
      return this.#lastMs + Math.max(paceMs, cycleMs / this.#held.size);
    }
    const latestMs = Math.max(this.#lastMs, this.#oldestMs) + BUSY_PACE_MS;
    if (this.#deps.busy()) return latestMs;
    const pauseMs = this.#fresh.size > backlog ? slowPaceMs : paceMs;
    return Math.max(this.#lastMs + pauseMs, Math.min(this.#newestMs + quietMs, latestMs));
  }

  /** More may have come meanwhile, or a transfer begun. */
  #turn(): void {
    if (this.#deps.clock.monotonicMs() < this.#dueMs()) this.wake();
    else void this.#next();
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
