// What upstream refused a moment ago, for everybody who asks this node: sixty members that want a
// file that is not there are one request, not sixty.
import type { HerdError } from '../errors.ts';
import type { Clock } from '../platform/clock.ts';

interface Refusal {
  readonly error: HerdError;
  /** How often upstream was asked within the window. */
  readonly times: number;
  /** Monotonic. */
  readonly untilMs: number;
}

const URLS_MAX = 2_000;
/** Wrong bytes may be an accident of one transfer: they are tried once more. */
const MISMATCHES = 2;

export class Refusals {
  readonly #clock: Clock;
  readonly #windowMs: number;
  /** By URL, the oldest first. */
  readonly #refusals = new Map<string, Refusal>();

  /** `windowMs`: so long an answer of upstream holds. */
  constructor(deps: { readonly clock: Clock }, { windowMs }: { readonly windowMs: number }) {
    this.#clock = deps.clock;
    this.#windowMs = windowMs;
  }

  /** Upstream gave no file for `url`, or a wrong one. Other errors say nothing that lasts. */
  note(url: string, error: HerdError): void {
    if (!isLasting(error)) return;
    const times = (this.#current(url)?.times ?? 0) + 1;
    this.#refusals.delete(url);
    this.#refusals.set(url, { error, times, untilMs: this.#clock.monotonicMs() + this.#windowMs });
    for (const [oldest] of this.#refusals) {
      if (this.#refusals.size <= URLS_MAX) break;
      this.#refusals.delete(oldest);
    }
  }

  /** What upstream said, where it need not be asked again yet. */
  of(url: string): HerdError | undefined {
    const refusal = this.#current(url);
    if (!refusal) return undefined;
    const enough = refusal.error.code === 'CONTENT_MISMATCH' ? MISMATCHES : 1;
    return refusal.times >= enough ? refusal.error : undefined;
  }

  #current(url: string): Refusal | undefined {
    const refusal = this.#refusals.get(url);
    if (refusal && refusal.untilMs > this.#clock.monotonicMs()) return refusal;
    this.#refusals.delete(url);
    return undefined;
  }
}

function isLasting({ code }: HerdError): boolean {
  return code === 'NOT_FOUND' || code === 'UPSTREAM_DENIED' || code === 'CONTENT_MISMATCH';
}
