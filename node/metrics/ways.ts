// How requests were answered: of each of the latest ones a few short records, one a decision, for
// people who ask why a file came from where it came from. Bounded in number and in memory.
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';

/** One decision on the way of a request. Times are ms, sizes bytes, members are named. */
export type Step =
  /** How the name was understood; `digest` and `size` as far as an index or the URL says them. */
  | {
      readonly what: 'name';
      readonly as: 'fixed' | 'volatile' | 'private';
      readonly digest?: string;
      readonly size?: number;
    }
  /** What a volatile name stands for, and who said so. */
  | {
      readonly what: 'resolved';
      readonly by: string;
      readonly status: number;
      readonly digest?: string | undefined;
      readonly ageMs: number;
      readonly stale: boolean;
    }
  /** The name's file is coming in there, and its digest is not known yet. */
  | { readonly what: 'streaming'; readonly at: string }
  /** The object lies in the store here, or is on its way in for the request `way` already. */
  | { readonly what: 'stored' }
  | { readonly what: 'joined'; readonly way: string | undefined }
  /** Whom the member list makes the owner, and how far down the ranking it was looked for. */
  | { readonly what: 'owner'; readonly member: string; readonly rank: number }
  /** A member was asked where the bytes are or what a name stands for. */
  | {
      readonly what: 'asked';
      readonly member: string;
      readonly said: string;
      readonly tookMs: number;
    }
  /** The DHT named a holder, or nobody. */
  | { readonly what: 'dht'; readonly holder?: string; readonly tookMs: number }
  /** Upstream answered a request, after redirects. */
  | {
      readonly what: 'upstream';
      readonly host: string;
      readonly status: number;
      readonly tookMs: number;
    }
  /** Bytes came from here; `end` says how it ended. */
  | {
      readonly what: 'source';
      readonly from: string;
      readonly kind: 'upstream' | 'member' | 'local';
      readonly bytes: number;
      readonly tookMs: number;
      readonly end: string;
    }
  /** A member was given pieces of what is here, from `piece` on; `complete`: to their end. */
  | {
      readonly what: 'given';
      readonly from: 'stored' | 'flight';
      readonly piece: number;
      readonly complete: boolean;
    }
  /** What was answered to whoever asked. */
  | {
      readonly what: 'verdict';
      readonly status: number | string;
      readonly bytes?: number;
      readonly reason?: string;
    };

/** Takes the records of one request. */
export interface Trace {
  /** The same at all members that the request makes work for. */
  readonly id: string;
  note(step: Step): void;
}

/** What goes along with a request through all rooms: what ends it, and where its way is told. */
export interface Call {
  readonly signal: AbortSignal;
  readonly trace?: Trace | undefined;
}

/** `atMs`: since the start. */
type KeptStep = Step & { readonly atMs: number };

export interface WayReport {
  readonly id: string;
  /** Who asked: this machine's apt, or another member. */
  readonly from: 'apt' | 'peer';
  /** Without its query, which may hold a secret. Of a member's request for bytes: their key. */
  readonly url: string;
  readonly startedAtMs: number;
  readonly steps: readonly KeptStep[];
  /** Records that were left out. */
  readonly more: number;
}

export interface WaysOptions {
  readonly waysMax: number;
  /** Of all ways together: a record is some 150 bytes. */
  readonly stepsMax: number;
}

const defaults: WaysOptions = { waysMax: 2_000, stepsMax: 20_000 };

const STEPS_PER_WAY = 48;
const URL_CHARS = 300;
const TEXT_CHARS = 160;

export class Ways {
  readonly #clock: Clock;
  readonly #options: WaysOptions;
  readonly #prefix: string;
  /** A ring, in the order of their begin. */
  readonly #ring: (Way | undefined)[];
  #begun = 0;
  #oldest = 0;
  #steps = 0;

  constructor(
    deps: { readonly clock: Clock; readonly random: Random },
    options: Partial<WaysOptions> = {},
  ) {
    this.#clock = deps.clock;
    this.#options = { ...defaults, ...options };
    this.#prefix = deps.random.bytes(4).toString('hex');
    this.#ring = new Array(this.#options.waysMax);
  }

  /** `id`: that of the member's request which this one serves. */
  begin(from: WayReport['from'], url: string, id?: string): Trace {
    const { waysMax } = this.#options;
    if (this.#begun - this.#oldest === waysMax) this.#dropOldest();
    const own = id ?? `${this.#prefix}-${this.#begun.toString(36)}`;
    const way = new Way(this.#clock, own, from, url, () => this.#noted());
    this.#ring[this.#begun++ % waysMax] = way;
    return way;
  }

  /** The latest first: of a URL, of an object by its digest, or of a request by its id. */
  find(query: { url?: string; digest?: string; id?: string } = {}, limit = 50): WayReport[] {
    const url = query.url === undefined ? undefined : shownUrl(query.url);
    const found: WayReport[] = [];
    for (let at = this.#begun - 1; at >= this.#oldest && found.length < limit; at--) {
      const way = this.#ring[at % this.#options.waysMax]!;
      if (url !== undefined && way.url !== url) continue;
      if (query.id !== undefined && way.id !== query.id) continue;
      if (query.digest !== undefined && !way.isOf(query.digest)) continue;
      found.push(way.report());
    }
    return found;
  }

  #noted(): void {
    this.#steps++;
    // The youngest stays: it may be the one that writes.
    while (this.#steps > this.#options.stepsMax && this.#begun - this.#oldest > 1) {
      this.#dropOldest();
    }
  }

  #dropOldest(): void {
    const at = this.#oldest++ % this.#options.waysMax;
    this.#steps -= this.#ring[at]!.forget();
    this.#ring[at] = undefined;
  }
}

class Way implements Trace {
  readonly id: string;
  readonly from: WayReport['from'];
  readonly url: string;
  readonly #clock: Clock;
  readonly #noted: () => void;
  readonly #startedAtMs: number;
  readonly #startMs: number;
  readonly #steps: KeptStep[] = [];
  #more = 0;
  #forgotten = false;

  constructor(clock: Clock, id: string, from: WayReport['from'], url: string, noted: () => void) {
    this.id = id;
    this.from = from;
    this.url = shownUrl(url);
    this.#clock = clock;
    this.#noted = noted;
    this.#startedAtMs = clock.nowMs();
    this.#startMs = clock.monotonicMs();
  }

  note(step: Step): void {
    // What is still under way may have left the ring; and a verdict is told however long it was.
    if (this.#forgotten) return;
    if (this.#steps.length >= STEPS_PER_WAY && step.what !== 'verdict') {
      this.#more++;
      return;
    }
    const atMs = rounded(this.#clock.monotonicMs() - this.#startMs);
    this.#steps.push(kept(step, atMs));
    this.#noted();
  }

  isOf(digest: string): boolean {
    if (this.url === digest) return true;
    return this.#steps.some((step) => 'digest' in step && step.digest === digest);
  }

  /** The number of records that it gives up. */
  forget(): number {
    this.#forgotten = true;
    return this.#steps.length;
  }

  report(): WayReport {
    const { id, from, url } = this;
    const startedAtMs = this.#startedAtMs;
    return { id, from, url, startedAtMs, steps: [...this.#steps], more: this.#more };
  }
}

/** An id that a peer gave, if it is one. */
export function wayIdOf(text: unknown): string | undefined {
  return typeof text === 'string' && /^[\w-]{1,40}$/.test(text) ? text : undefined;
}

function kept(step: Step, atMs: number): KeptStep {
  const fields: Record<string, unknown> = { ...step, atMs };
  for (const key in fields) {
    const value = fields[key];
    if (typeof value === 'string') fields[key] = shownText(value);
  }
  return fields as unknown as KeptStep;
}

function shownUrl(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? cut(url, URL_CHARS) : cut(copyOf(url.slice(0, query)), URL_CHARS);
}

/** Texts come from elsewhere: of any length, and with URLs whose queries may hold a secret. */
function shownText(text: string): string {
  const short = cut(text, TEXT_CHARS);
  return short.includes('?') ? short.replace(/\?\S+/g, '') : short;
}

function cut(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${copyOf(text.slice(0, charsMax - 1))}…`;
}

/** Of a part of a string, which would keep all of it in memory. */
function copyOf(part: string): string {
  return Buffer.from(part).toString();
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}
