// What volatile names stood for when upstream was last asked, by this node or by another member:
// the latest in memory, all across a restart in the catalog.
import type { Catalog, Resolution } from '../catalog/catalog.ts';
import { reasonOf } from '../errors.ts';
import type { Member } from '../fleet/fleet.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { ClaimedName, NameAnswer, PieceStream } from '../transfer/peers.ts';

interface KnownNamesDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Log;
}

interface KnownNamesOptions {
  /** For so long an answer of upstream holds for everybody. */
  readonly freshnessMs: number;
}

const NAMES_MAX = 5_000;

/** What a name stands for, and how it came to be known. */
export type Named =
  | {
      readonly kind: 'resolved';
      readonly resolution: Resolution;
      readonly ageMs: number;
      readonly stale: boolean;
      /** Who answered; it has the object. */
      readonly holder?: Member;
      /** The object, if it came along with the answer. */
      readonly stream?: PieceStream;
    }
  | { readonly kind: 'streaming'; readonly key: string; readonly holder?: Member };

/** For the status report. */
export interface VolatileReport {
  readonly url: string;
  readonly status: number;
  readonly ageMs: number;
  readonly stale: boolean;
}

export interface Known {
  readonly resolution: Resolution;
  /** Monotonic time of the confirmation by upstream. */
  readonly confirmedMs: number;
  readonly stale: boolean;
  readonly holder?: Member;
}

export class KnownNames {
  readonly #deps: KnownNamesDeps;
  readonly #options: KnownNamesOptions;
  /** The latest last. */
  readonly #known = new Map<string, Known>();

  constructor(deps: KnownNamesDeps, options: KnownNamesOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** What still holds for everybody. */
  fresh(url: string): Named | undefined {
    const known = this.#known.get(url);
    if (!known || known.stale) return undefined;
    const ageMs = this.#deps.clock.monotonicMs() - known.confirmedMs;
    if (ageMs >= this.#options.freshnessMs) return undefined;
    return namedOf(known, ageMs);
  }

  /** The last answer, however old, also from before a restart. */
  async last(url: string): Promise<Known | undefined> {
    const known = this.#known.get(url);
    if (known) return known;
    const resolution = await this.#remembered(url);
    if (!resolution) return undefined;
    const ageMs = Math.max(0, this.#deps.clock.nowMs() - resolution.checkedAtMs);
    return { resolution, confirmedMs: this.#deps.clock.monotonicMs() - ageMs, stale: false };
  }

  /** Upstream told this node a moment ago. */
  confirm(url: string, resolution: Resolution): Named {
    const { clock } = this.#deps;
    const known = {
      resolution: { ...resolution, checkedAtMs: clock.nowMs() },
      confirmedMs: clock.monotonicMs(),
      stale: false,
    };
    void this.#note(url, known);
    return namedOf(known, 0);
  }

  /** Another member answered. */
  adopt(url: string, holder: Member, answer: NameAnswer & { kind: 'resolved' }): Named {
    const { resolution, ageMs, stale, stream } = answer;
    const known = {
      resolution,
      confirmedMs: this.#deps.clock.monotonicMs() - ageMs,
      stale,
      holder,
    };
    void this.#note(url, known);
    return { ...namedOf(known, ageMs), ...(stream ? { stream } : {}) };
  }

  /** Takes over what a former owner of the name knows. */
  claim(holder: Member, { url, resolution, ageMs }: ClaimedName): void {
    const confirmedMs = this.#deps.clock.monotonicMs() - ageMs;
    const known = this.#known.get(url);
    if (known && known.confirmedMs >= confirmedMs) return;
    void this.#note(url, { resolution, confirmedMs, stale: false, holder });
  }

  /** Upstream was asked, and has not said in time whether `old` still holds. */
  markStale(url: string, old: Known): Named {
    const stale = { ...old, stale: true };
    this.#remember(url, stale);
    return namedOf(stale, this.#deps.clock.monotonicMs() - old.confirmedMs);
  }

  /** What this node asked upstream for itself, and still holds. */
  *asked(): Iterable<ClaimedName> {
    const now = this.#deps.clock.monotonicMs();
    for (const [url, { resolution, confirmedMs, holder, stale }] of this.#known) {
      const ageMs = now - confirmedMs;
      if (holder || stale || ageMs >= this.#options.freshnessMs) continue;
      yield { url, resolution, ageMs };
    }
  }

  /** Those in memory, latest first. */
  report(): VolatileReport[] {
    const now = this.#deps.clock.monotonicMs();
    return [...this.#known].reverse().map(([url, { resolution, confirmedMs, stale }]) => ({
      url,
      status: resolution.status,
      ageMs: Math.round(now - confirmedMs),
      stale,
    }));
  }

  /** A catalog that cannot be read is as good as an empty one: upstream knows better. */
  async #remembered(url: string): Promise<Resolution | undefined> {
    try {
      return await this.#deps.catalog.resolution(url);
    } catch (error) {
      this.#deps.log.warn({ url, reason: reasonOf(error) }, 'what it stood for cannot be read');
      return undefined;
    }
  }

  async #note(url: string, known: Known): Promise<void> {
    this.#remember(url, known);
    try {
      await this.#deps.catalog.remember(url, known.resolution);
    } catch (error) {
      this.#deps.log.warn({ url, reason: reasonOf(error) }, 'not remembered across a restart');
    }
  }

  #remember(url: string, known: Known): void {
    this.#known.delete(url);
    this.#known.set(url, known);
    for (const [oldest] of this.#known) {
      if (this.#known.size <= NAMES_MAX) break;
      this.#known.delete(oldest);
    }
  }
}

function namedOf(known: Known, ageMs: number): Named {
  const { resolution, stale, holder } = known;
  return { kind: 'resolved', resolution, ageMs, stale, ...(holder ? { holder } : {}) };
}
