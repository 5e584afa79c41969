// Stale is better than nothing: upstream is waited for only a while where an older answer is at
// hand, and not at all where its host was down a moment ago.
import { HerdError, reasonOf } from '../errors.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Known, KnownNames, Named } from './known-names.ts';

interface StaleAnswersDeps {
  readonly known: KnownNames;
  readonly clock: Clock;
  readonly log: Log;
}

/** With an older answer at hand, upstream is waited for so long before that one is given. */
const STALE_AFTER_MS = 5_000;
/** An upstream host that could not be reached is not waited for again so soon. */
const HOST_DOWN_MS = 10_000;

export class StaleAnswers {
  readonly #deps: StaleAnswersDeps;
  readonly #downUntilMs = new Map<string, number>();

  constructor(deps: StaleAnswersDeps) {
    this.#deps = deps;
  }

  /**
   * What upstream was `asked` for, or `old`, marked stale. Throws what upstream failed of where
   * the older answer is no file.
   */
  async unlessTold(url: string, asked: Promise<Named>, old: Known): Promise<Named> {
    const { known, clock, log } = this.#deps;
    const { host } = new URL(url);
    const settled = asked.catch((error: unknown) => {
      // "Not there" was true then; what upstream says now is another matter.
      if (old.resolution.status !== 200 && !isDown(error)) throw error;
      if (isDown(error)) this.#noteDown(host);
      log.warn({ url, reason: reasonOf(error) }, 'served stale');
      return 'failed' as const;
    });
    const down = (this.#downUntilMs.get(host) ?? 0) > clock.monotonicMs();
    const patience = down ? 0 : STALE_AFTER_MS;
    const named = await withDeadline(clock, settled, patience, 'late' as const);
    if (named === 'late' && !down) this.#noteDown(host);
    return named === 'late' || named === 'failed' ? known.markStale(url, old) : named;
  }

  #noteDown(host: string): void {
    const now = this.#deps.clock.monotonicMs();
    for (const [other, untilMs] of this.#downUntilMs) {
      if (untilMs <= now) this.#downUntilMs.delete(other);
    }
    this.#downUntilMs.set(host, now + HOST_DOWN_MS);
  }
}

function isDown(error: unknown): boolean {
  const code = error instanceof HerdError ? error.code : undefined;
  return code === 'UPSTREAM_UNREACHABLE' || code === 'UPSTREAM_STALLED';
}
