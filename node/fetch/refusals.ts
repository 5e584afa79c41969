// What upstream refused a moment ago, for everybody who asks this node: sixty members that want a
// file that is not there are one request, not sixty.
import type { HerdError } from '../errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Wanted } from '../transfer/source.ts';

interface Refusal {
  readonly error: HerdError;
  /** How often upstream was asked within the window. */
  readonly times: number;
  /** Monotonic. */
  readonly untilMs: number;
}

const REFUSALS_MAX = 2_000;
/** Wrong bytes may be an accident of one transfer: they are tried once more. */
const MISMATCHES = 2;

export class Refusals {
  readonly #clock: Clock;
  readonly #windowMs: number;
  /** By URL, and for wrong bytes by what they should have been; the oldest first. */
  readonly #refusals = new Map<string, Refusal>();

  /** `windowMs`: so long an answer of upstream holds. */
  constructor(deps: { readonly clock: Clock }, { windowMs }: { readonly windowMs: number }) {
    this.#clock = deps.clock;
    this.#windowMs = windowMs;
  }

  /** Upstream gave no file, or one that is not the wanted. Other errors say nothing that lasts. */
  note(wanted: Wanted, error: HerdError): void {
    if (!isLasting(error)) return;
    const place = error.code === 'CONTENT_MISMATCH' ? keyOf(wanted) : wanted.url;
    const times = (this.#current(place)?.times ?? 0) + 1;
    const untilMs = this.#clock.monotonicMs() + this.#windowMs;
    this.#refusals.delete(place);
    this.#refusals.set(place, { error, times, untilMs });
    for (const [oldest] of this.#refusals) {
      if (this.#refusals.size <= REFUSALS_MAX) break;
      this.#refusals.delete(oldest);
    }
  }

  /** What upstream said, where it need not be asked again yet. */
  of(wanted: Wanted): HerdError | undefined {
    const missing = this.#current(wanted.url);
    if (missing) return missing.error;
    const wrong = this.#current(keyOf(wanted));
    return wrong && wrong.times >= MISMATCHES ? wrong.error : undefined;
  }

  #current(place: string): Refusal | undefined {
    const refusal = this.#refusals.get(place);
    if (refusal && refusal.untilMs > this.#clock.monotonicMs()) return refusal;
    this.#refusals.delete(place);
    return undefined;
  }
}

/** No URL has a space. */
function keyOf({ key, url }: Wanted): string {
  return `${url} ${key}`;
}

function isLasting({ code }: HerdError): boolean {
  return code === 'NOT_FOUND' || code === 'UPSTREAM_DENIED' || code === 'CONTENT_MISMATCH';
}
