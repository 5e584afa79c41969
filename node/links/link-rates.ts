// What this node's link has carried, and those of others: only comparing tells who is slow.
import type { Clock } from '../platform/clock.ts';
import type { LinkNews } from '../transfer/peers.ts';

const BUCKET_MS = 1_000;
/** What is compared: the last few seconds with the best ones of the last minute. */
const RECENT_BUCKETS = 3;
const BUCKETS = 60;
/** Below this part of the best, there is room. */
const ROOM = 1 / 4;
/** Below this part of what most others' links have carried, this one is narrow ... */
const NARROW = 1 / 3;
/** ... if members gave so much, for so long, that it had to show what it can do, ... */
const EVIDENCE_BYTES = 1024 * 1024;
const EVIDENCE_MS = 3_000;
/** ... and so many others are known. */
const OTHERS_MIN = 3;
/** From this part of what they carried on, there is no doubt that it is not. */
const LIKE_OTHERS = 1 / 2;
/** What they said earlier may be of another rollout, with another narrow place. */
const SURVEY_SECONDS = 30;

export class LinkRates {
  readonly #clock: Clock;
  // Of each second, in rings: all bytes, those from members, ms in which a member was giving.
  readonly #bytes = new Float64Array(BUCKETS);
  readonly #given = new Float64Array(BUCKETS);
  readonly #givingMs = new Float64Array(BUCKETS);
  /** The rings are right up to here. */
  #nowMs: number;
  /** Members that are giving. */
  #givers = 0;
  /** Whether the link is narrow, and the second in which that was found. */
  #judged = { second: -1, narrow: false };
  /** What the link of the one in the middle of some others has carried, bytes per second. */
  #others = { second: -Infinity, median: 0 };

  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock;
    this.#nowMs = deps.clock.monotonicMs();
  }

  /** A member begins to give. */
  began(): void {
    this.#goOn();
    this.#givers++;
  }

  /** A member gives no more. */
  ended(): void {
    this.#goOn();
    this.#givers--;
  }

  /** So many bytes came in from a member. */
  note(bytes: number): void {
    this.noteUpstream(bytes);
    this.#given[this.#second % BUCKETS]! += bytes;
  }

  /** So many came in from upstream. How few that are says nothing of the link. */
  noteUpstream(bytes: number): void {
    this.#goOn();
    this.#bytes[this.#second % BUCKETS]! += bytes;
  }

  /** The `best` of some others, now. Tells whether this one is beyond doubt like theirs. */
  surveyed(rates: readonly number[]): boolean {
    if (rates.length < OTHERS_MIN) return false;
    this.#goOn();
    this.#judged.second = -1;
    const median = rates.toSorted((a, b) => a - b)[rates.length >> 1]!;
    this.#others = { second: this.#second, median };
    return this.best >= LIKE_OTHERS * median;
  }

  /** The most that came in over three seconds of the last minute, bytes per second. */
  get best(): number {
    this.#goOn();
    let most = 0;
    for (let back = 0; back <= BUCKETS - RECENT_BUCKETS; back++) {
      most = Math.max(most, this.#sum(this.#second - back));
    }
    return Math.round(most / RECENT_BUCKETS);
  }

  /**
   * Whether far less comes in than the link has been seen to carry: then a source that gives
   * nothing is slow; while the link is full, anybody seems so.
   */
  get hasRoom(): boolean {
    const best = this.best;
    return this.#sum(this.#second) / RECENT_BUCKETS < ROOM * best;
  }

  /**
   * Whether it carries far less than most others': then others should fetch for the fleet, and pass
   * on. Judged once a second and after each survey: it is looked at for each piece.
   */
  get narrow(): boolean {
    this.#goOn();
    const second = this.#second;
    if (this.#judged.second !== second) this.#judged = { second, narrow: this.#isNarrow() };
    return this.#judged.narrow;
  }

  /** For the owners of what this node wants. */
  get news(): LinkNews {
    return this.narrow ? { narrow: true } : {};
  }

  /** Whether members have given enough of late to show what the link can do. */
  get tested(): boolean {
    this.#goOn();
    return total(this.#given) >= EVIDENCE_BYTES && total(this.#givingMs) >= EVIDENCE_MS;
  }

  #isNarrow(): boolean {
    const { second, median } = this.#others;
    if (second < this.#second - SURVEY_SECONDS) return false;
    return this.best < NARROW * median && this.tested;
  }

  get #second(): number {
    return Math.floor(this.#nowMs / BUCKET_MS);
  }

  /** Of the seconds up to `last`. */
  #sum(last: number): number {
    let sum = 0;
    for (let back = 0; back < RECENT_BUCKETS; back++) {
      sum += this.#bytes[(last - back + BUCKETS) % BUCKETS]!;
    }
    return sum;
  }

  /** Up to now: empties the seconds in which nothing came. */
  #goOn(): void {
    const beforeMs = this.#nowMs;
    const before = this.#second;
    this.#nowMs = this.#clock.monotonicMs();
    const now = this.#second;
    for (let second = Math.max(before, now - BUCKETS); second <= now; second++) {
      const at = second % BUCKETS;
      if (second > before) this.#bytes[at] = this.#given[at] = this.#givingMs[at] = 0;
      if (this.#givers === 0) continue;
      const startMs = Math.max(beforeMs, second * BUCKET_MS);
      this.#givingMs[at]! += Math.min(this.#nowMs, (second + 1) * BUCKET_MS) - startMs;
    }
  }
}

function total(ring: Float64Array): number {
  return ring.reduce((sum, each) => sum + each, 0);
}
