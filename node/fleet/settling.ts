// When a starting node may elect: sixty daemons of one moment must not each think they are alone.
import type { Clock, Timer } from '../platform/clock.ts';

export interface SettlingOptions {
  /** The list counts as settled when nobody joined for so long, in ms. */
  readonly quietMs: number;
  /** At most so long after the start, in ms, whatever is known then. */
  readonly deadlineMs: number;
}

export class Settling {
  readonly #clock: Clock;
  readonly #quietMs: number;
  readonly #deadline: Timer;
  readonly #ready = Promise.withResolvers<void>();
  #quiet: Timer | undefined;
  #settled = false;
  #listed = false;

  constructor(clock: Clock, options: SettlingOptions) {
    this.#clock = clock;
    this.#quietMs = options.quietMs;
    this.#deadline = clock.after(options.deadlineMs, () => this.end());
  }

  get settled(): boolean {
    return this.#settled;
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** A tracker's list arrived, or someone joined after it. */
  changed(listed: boolean): void {
    if (this.#settled) return;
    this.#listed ||= listed;
    if (!this.#listed) return;
    this.#quiet?.cancel();
    this.#quiet = this.#clock.after(this.#quietMs, () => this.end());
  }

  end(): void {
    this.#settled = true;
    this.#deadline.cancel();
    this.#quiet?.cancel();
    this.#ready.resolve();
  }
}
