// Time, injected: the only file that touches timers and the system clock.

/** A source of time. The real one is `systemClock`; simulations and tests bring their own. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. */
  nowMs(): number;
  /** Monotonic time in milliseconds, origin unspecified. */
  monotonicMs(): number;
  /** Calls `fn` once after `delayMs`; the timer does not keep the process alive. */
  after(delayMs: number, fn: () => void): Timer;
  /** Calls `fn` every `periodMs`; the timer does not keep the process alive. */
  every(periodMs: number, fn: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, fn) {
    const handle = setTimeout(fn, delayMs).unref();
    return { cancel: () => clearTimeout(handle) };
  },
  every(periodMs, fn) {
    const handle = setInterval(fn, periodMs).unref();
    return { cancel: () => clearInterval(handle) };
  },
};

/** Wall clock in whole seconds since the Unix epoch. */
export function nowSeconds(clock: Clock): number {
  return Math.floor(clock.nowMs() / 1000);
}

/** Resolves after `delayMs`, or at once when `signal` aborts (never rejects). */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Resolves to `promise`'s value, or to `fallback` when `delayMs` passes first. */
export function withDeadline<T, F>(
  clock: Clock,
  promise: Promise<T>,
  delayMs: number,
  fallback: F,
): Promise<T | F> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(delayMs, () => resolve(fallback));
    promise.then(resolve, reject).finally(() => timer.cancel());
  });
}

/** Aborts after `delayMs`. */
export function deadlineSignal(clock: Clock, delayMs: number): AbortSignal {
  const controller = new AbortController();
  clock.after(delayMs, () => controller.abort());
  return controller.signal;
}
