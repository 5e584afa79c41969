// Volatile names: what a URL stands for right now. The owner of a name asks upstream for all, at
// most once per freshness window; everybody else asks the owner.
//
// Snapshots (one InRelease with exactly the indexes it lists) will decide here what is adopted.
import type { Catalog } from '../catalog/catalog.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError } from '../errors.ts';
import type { Flights } from '../fetch/flights.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import type { Counters } from '../metrics/counters.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { Log } from '../platform/log.ts';
import { Once } from '../platform/once.ts';
import type { Store } from '../store/store.ts';
import type { ClaimedName, NameAnswer, Peers } from '../transfer/peers.ts';
import type { Upstream } from '../transfer/upstream.ts';
import { FormerOwner } from './former-owner.ts';
import { KnownNames, type Named, type VolatileReport } from './known-names.ts';
import { NameFetch } from './name-fetch.ts';
import { NameOwners } from './name-owners.ts';
import { StaleAnswers } from './stale-answers.ts';

interface NamesDeps {
  readonly garbage: Garbage;
  readonly pool: PiecePool;
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly upstream: Upstream;
  readonly catalog: Catalog;
  readonly flights: Flights;
  readonly store: Pick<Store, 'stat'>;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

interface NamesOptions {
  /** For so long an answer of upstream holds for everybody. */
  readonly freshnessMs: number;
}

/** A peer that asks is told to ask again when there is no answer after this time. */
const PENDING_AFTER_MS = 2_000;

export class Names {
  readonly #clock: Clock;
  readonly #known: KnownNames;
  readonly #owners: NameOwners;
  readonly #former: FormerOwner;
  readonly #upstream: NameFetch;
  readonly #stale: StaleAnswers;
  readonly #asking = new Once<Named>();
  readonly #revalidating = new Once<Named>();

  constructor(deps: NamesDeps, options: NamesOptions) {
    const known = new KnownNames(deps, options);
    this.#clock = deps.clock;
    this.#known = known;
    this.#owners = new NameOwners({ ...deps, known });
    this.#former = new FormerOwner({ ...deps, known }, options);
    this.#upstream = new NameFetch({ ...deps, known });
    this.#stale = new StaleAnswers({ ...deps, known });
  }

  /** For a client of this node. Throws HerdError when nobody can say. */
  async resolve(url: string, noCache: boolean): Promise<Named> {
    const fresh = noCache ? undefined : this.#known.fresh(url);
    return fresh ?? (await this.#asking.run(url, () => this.#ask(url, noCache)));
  }

  /** For a peer that takes this node for the owner of the name. */
  async answer(url: string, noCache: boolean): Promise<NameAnswer> {
    return await this.#say(
      (noCache ? undefined : this.#known.fresh(url)) ?? this.#revalidate(url, noCache),
    );
  }

  /** For a peer that became the owner of the name a moment ago. */
  async known(url: string): Promise<NameAnswer> {
    const known = this.#known.fresh(url) ?? this.#upstream.underWay(url);
    return known ? await this.#say(known) : { kind: 'unknown' };
  }

  /** What this node asked upstream for itself, and still holds. */
  asked(): Iterable<ClaimedName> {
    return this.#known.asked();
  }

  /** Takes over what a former owner of the name knows. */
  claim(holder: Member, claimed: ClaimedName): void {
    this.#known.claim(holder, claimed);
  }

  /** The names known in memory, latest first. */
  report(): VolatileReport[] {
    return this.#known.report();
  }

  async #ask(url: string, noCache: boolean): Promise<Named> {
    const told = await this.#owners.ask(url, noCache);
    return told ?? (await this.#revalidate(url, noCache));
  }

  /** As the owner. */
  async #revalidate(url: string, noCache: boolean): Promise<Named> {
    return await this.#revalidating.run(url, async () => {
      const told =
        this.#atHand(url, noCache) ?? (noCache ? undefined : await this.#former.ask(url));
      if (told) return told;
      const old = await this.#known.last(url);
      // What upstream owed may have come meanwhile.
      const came = this.#atHand(url, noCache);
      if (came) return came;
      // It may take longer than those who ask have patience for.
      const asked = this.#upstream.ask(url, old?.resolution);
      return await (old ? this.#stale.unlessTold(url, asked, old) : asked);
    });
  }

  #atHand(url: string, noCache: boolean): Named | undefined {
    return this.#upstream.streaming(url) ?? (noCache ? undefined : this.#known.fresh(url));
  }

  async #say(asked: Named | Promise<Named>): Promise<NameAnswer> {
    try {
      const promise = Promise.resolve(asked);
      const named = await withDeadline(this.#clock, promise, PENDING_AFTER_MS, undefined);
      if (named === undefined) return { kind: 'pending' };
      if (named.kind === 'streaming') return { kind: 'streaming', key: named.key };
      const { resolution, ageMs, stale } = named;
      return { kind: 'resolved', resolution, ageMs, stale };
    } catch (error) {
      return { kind: 'failed', error: HerdError.of(error).toJSON() };
    }
  }
}
