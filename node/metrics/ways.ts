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
  | { readonly what: 'stored'; readonly digest: string; readonly size: number }
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
  readonly #options: WaysOptions;
  readonly #book: Book;
  /** A ring, in the order of their begin. */
  readonly #ring: (Told | undefined)[];
  #begun = 0;
  #oldest = 0;
  #steps = 0;

  constructor(
    deps: { readonly clock: Clock; readonly random: Random },
    options: Partial<WaysOptions> = {},
  ) {
    this.#options = { ...defaults, ...options };
    const prefix = deps.random.bytes(4).toString('hex');
    this.#book = { clock: deps.clock, prefix, noted: () => this.#noted() };
    this.#ring = new Array(this.#options.waysMax);
  }

  /** `id`: that of the member's request which this one serves. */
  begin(from: WayReport['from'], url: string, id?: string): Trace {
    const way = new Way(this.#book, id ?? this.#begun, from, url);
    this.#add(way);
    return way;
  }

  /** Apt was answered from memory at once: all of it in one record, as these are most. */
  hit(url: string, digest: string, size: number, status: number): void {
    this.#add(new Hit(this.#book, this.#begun, url, digest, size, status));
    this.#noted();
  }

  #add(told: Told): void {
    const { waysMax } = this.#options;
    if (this.#begun - this.#oldest === waysMax) this.#dropOldest();
    this.#ring[this.#begun++ % waysMax] = told;
  }

  /** The latest first: of a URL, of an object by its digest, or of a request by its id. */
  find(query: { url?: string; digest?: string; id?: string } = {}, limit = 50): WayReport[] {
    const url = query.url === undefined ? undefined : withoutQuery(query.url);
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

/** What a way needs of all of them. */
interface Book {
  readonly clock: Clock;
  /** Of this start of the daemon. */
  readonly prefix: string;
  /** A step was added. */
  noted(): void;
}

/** One in the ring. */
interface Told {
  readonly id: string;
  readonly url: string;
  isOf(digest: string): boolean;
  /** The number of records that it gives up. */
  forget(): number;
  report(): WayReport;
}

class Hit implements Told {
  readonly url: string;
  readonly #book: Book;
  readonly #number: number;
  readonly #digest: string;
  readonly #size: number;
  readonly #status: number;
  readonly #atMs: number;

  constructor(
    book: Book,
    number: number,
    url: string,
    digest: string,
    size: number,
    status: number,
  ) {
    this.url = withoutQuery(url);
    this.#book = book;
    this.#number = number;
    this.#digest = digest;
    this.#size = size;
    this.#status = status;
    this.#atMs = book.clock.monotonicMs();
  }

  get id(): string {
    return idOf(this.#book, this.#number);
  }

  isOf(digest: string): boolean {
    return this.#digest === digest;
  }

  forget(): number {
    return 1;
  }

  report(): WayReport {
    const { id, url } = this;
    const digest = this.#digest;
    const size = this.#size;
    const steps = [
      { what: 'stored', digest, size, atMs: 0 },
      { what: 'verdict', status: this.#status, atMs: 0 },
    ] as const;
    const startedAtMs = wallClock(this.#book, this.#atMs);
    return { id, from: 'apt', url, startedAtMs, steps, more: 0 };
  }
}

/** Does as little as can be when it is told something: most ways are never looked at. */
class Way implements Told, Trace {
  readonly from: WayReport['from'];
  readonly url: string;
  readonly #book: Book;
  /** That of a peer's request, or the own number. */
  readonly #id: string | number;
  readonly #startMs: number;
  /** Steps, each followed by its time since the start in ms. */
  readonly #notes: (Step | number)[] = [];
  #more = 0;
  #forgotten = false;

  constructor(book: Book, id: string | number, from: WayReport['from'], url: string) {
    this.from = from;
    this.url = withoutQuery(url);
    this.#book = book;
    this.#id = id;
    this.#startMs = book.clock.monotonicMs();
  }

  get id(): string {
    const id = this.#id;
    return typeof id === 'string' ? id : idOf(this.#book, id);
  }

  note(step: Step): void {
    // What is still under way may have left the ring; and a verdict is told however long it was.
    if (this.#forgotten) return;
    if (this.#notes.length >= 2 * STEPS_PER_WAY && step.what !== 'verdict') {
      this.#more++;
      return;
    }
    this.#notes.push(bounded(step), this.#book.clock.monotonicMs() - this.#startMs);
    this.#book.noted();
  }

  isOf(digest: string): boolean {
    if (this.url === digest) return true;
    return this.#steps().some(([step]) => 'digest' in step && step.digest === digest);
  }

  forget(): number {
    this.#forgotten = true;
    return this.#notes.length / 2;
  }

  report(): WayReport {
    const { id, from, url } = this;
    const startedAtMs = wallClock(this.#book, this.#startMs);
    const steps = this.#steps().map(([step, atMs]) => shown(step, rounded(atMs)));
    return { id, from, url, startedAtMs, steps, more: this.#more };
  }

  #steps(): [Step, number][] {
    const notes = this.#notes;
    return Array.from({ length: notes.length / 2 }, (_, at) => [
      notes[2 * at] as Step,
      notes[2 * at + 1] as number,
    ]);
  }
}

function idOf({ prefix }: Book, number: number): string {
  return `${prefix}-${number.toString(36)}`;
}

function wallClock({ clock }: Book, monotonicMs: number): number {
  return Math.round(clock.nowMs() - (clock.monotonicMs() - monotonicMs));
}

/** An id that a peer gave, if it is one. */
export function wayIdOf(text: unknown): string | undefined {
  return typeof text === 'string' && /^[\w-]{1,40}$/.test(text) ? text : undefined;
}

/** With texts that came from elsewhere, and may be of any length, cut short. */
function bounded(step: Step): Step {
  switch (step.what) {
    case 'asked':
      return step.said.length > TEXT_CHARS ? { ...step, said: cut(step.said, TEXT_CHARS) } : step;
    case 'source':
      return step.end.length > TEXT_CHARS ? { ...step, end: cut(step.end, TEXT_CHARS) } : step;
    case 'verdict': {
      const { reason } = step;
      const long = reason !== undefined && reason.length > TEXT_CHARS;
      return long ? { ...step, reason: cut(reason, TEXT_CHARS) } : step;
    }
    default:
      return step;
  }
}

/** Texts name URLs, whose queries may hold a secret. */
function shown(step: Step, atMs: number): KeptStep {
  const fields: Record<string, unknown> = { ...step, atMs };
  for (const [key, value] of Object.entries(fields)) {
    if (typeof value === 'string') fields[key] = cut(value, TEXT_CHARS).replace(/\?\S+/g, '');
  }
  return fields as unknown as KeptStep;
}

function withoutQuery(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? cut(url, URL_CHARS) : cut(copyOf(url.slice(0, query)), URL_CHARS);
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
