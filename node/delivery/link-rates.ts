// What this node's link has carried, and those of others: only comparing tells who is slow.
import type { Clock } from '../platform/clock.ts';

const BUCKET_MS = 1_000;
/** What is compared: the last few seconds with the best ones of the last minute. */
const RECENT_BUCKETS = 3;
const BUCKETS = 60;
/** Below this part of the best, there is room. */
const ROOM = 1 / 4;
/** Below this part of what most others' links have carried, this one is narrow ... */
const NARROW = 1 / 3;
/** ... if so much came through it that it had to show what it can do, ... */
const EVIDENCE_BYTES = 1024 * 1024;
/** ... and so many others are known. */
const OTHERS_MIN = 3;
const OTHERS_MAX = 1_000;

export class LinkRates {
  readonly #clock: Clock;
  /** Bytes of each second, in a ring; `#second` is the latest one. */
  readonly #bytes = new Float64Array(BUCKETS);
  #second = 0;
  /** What the links of others have carried, bytes per second, by member. */
  readonly #others = new Map<string, number>();

  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** So many bytes came in from a member: what upstream gives says little of the link. */
  note(bytes: number): void {
    this.#goOn();
    this.#bytes[this.#second % BUCKETS]! += bytes;
  }

  /** A member's own `best`. */
  heard(member: string, best: number): void {
    this.#others.delete(member);
    this.#others.set(member, best);
    if (this.#others.size <= OTHERS_MAX) return;
    const [oldest] = this.#others.keys();
    if (oldest !== undefined) this.#others.delete(oldest);
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

  /** Whether it carries far less than most others': then others should fetch for the fleet. */
  get narrow(): boolean {
    if (this.#others.size < OTHERS_MIN) return false;
    const rates = [...this.#others.values()].sort((a, b) => a - b);
    const median = rates[rates.length >> 1]!;
    if (this.best >= NARROW * median) return false;
    return this.#bytes.reduce((sum, bytes) => sum + bytes, 0) >= EVIDENCE_BYTES;
  }

  /** Of the seconds up to `last`. */
  #sum(last: number): number {
    let sum = 0;
    for (let back = 0; back < RECENT_BUCKETS; back++) {
      sum += this.#bytes[(last - back + BUCKETS) % BUCKETS]!;
    }
    return sum;
  }

  /** Empties the seconds in which nothing came. */
  #goOn(): void {
    const now = Math.floor(this.#clock.monotonicMs() / BUCKET_MS);
    const from = Math.max(this.#second + 1, now - BUCKETS + 1);
    for (let second = from; second <= now; second++) this.#bytes[second % BUCKETS] = 0;
    this.#second = now;
  }
}
