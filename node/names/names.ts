// Volatile names: what a URL stands for right now. The owner of a name asks upstream for all, at
// most once per freshness window; everybody else asks the owner.
//
// Snapshots (one InRelease with exactly the indexes it lists) will decide here what is adopted.
import type { Catalog } from '../catalog/catalog.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError, reasonOf } from '../errors.ts';
import type { Boarding, Flights } from '../fetch/flights.ts';
import { LocalSource } from '../fetch/local-source.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Trace } from '../metrics/ways.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { Once } from '../platform/once.ts';
import { checkedObject } from '../store/checked-object.ts';
import type { Store } from '../store/store.ts';
import { MemberSource } from '../transfer/peer/member-source.ts';
import type { ClaimedName, NameAnswer, Peers } from '../transfer/peers.ts';
import type { Source, SourceStream } from '../transfer/source.ts';
import type { Upstream } from '../transfer/upstream.ts';
import { FormerOwner } from './former-owner.ts';
import { KnownNames, type Named, type VolatileReport } from './known-names.ts';
import { NameFeeder } from './name-feeder.ts';
import { NameFetch } from './name-fetch.ts';
import { NameOwners } from './name-owners.ts';
import { StaleAnswers } from './stale-answers.ts';

interface NamesDeps {
  readonly pool: PiecePool;
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly upstream: Upstream;
  readonly catalog: Catalog;
  readonly flights: Flights;
  readonly store: Store;
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

type Streaming = Named & { readonly kind: 'streaming' };

export class Names {
  readonly #deps: NamesDeps;
  readonly #known: KnownNames;
  readonly #owners: NameOwners;
  readonly #former: FormerOwner;
  readonly #upstream: NameFetch;
  readonly #stale: StaleAnswers;
  readonly #asking = new Once<Named>();
  readonly #revalidating = new Once<Named>();

  constructor(deps: NamesDeps, options: NamesOptions) {
    const known = new KnownNames(deps, options);
    this.#deps = deps;
    this.#known = known;
    this.#owners = new NameOwners({ ...deps, known });
    this.#former = new FormerOwner({ ...deps, known }, options);
    this.#upstream = new NameFetch({ ...deps, known });
    this.#stale = new StaleAnswers({ ...deps, known });
  }

  /** For a client of this node. Throws HerdError when nobody can say. */
  async resolve(url: string, noCache: boolean, trace?: Trace): Promise<Named> {
    const fresh = noCache ? undefined : this.#known.fresh(url);
    const asking = () =>
      this.#asking.run(keyOf(url, noCache), () => this.#ask(url, noCache, trace));
    const named = fresh ?? (await asking());
    const { holder } = named;
    if (named.kind === 'streaming') {
      trace?.note({ what: 'streaming', at: holder?.name ?? 'this node' });
    } else {
      const { resolution, ageMs, stale } = named;
      const { status, digest } = resolution;
      const by = fresh ? 'what is known here' : (holder?.name ?? 'upstream');
      trace?.note({ what: 'resolved', by, status, digest, ageMs: Math.round(ageMs), stale });
    }
    return named;
  }

  /**
   * Joins a file that is coming in, here or at the owner of its name. `undefined`: it is not there
   * any more, and whoever wants it should ask anew what the name stands for.
   */
  async board(
    url: string,
    { key, holder }: Streaming,
    trace: Trace | undefined,
  ): Promise<Boarding | undefined> {
    const { flights, peers, fleet } = this.#deps;
    const joined = await flights.join(key);
    if (joined || !holder || !peers) return joined;
    const source = new MemberSource({ peers }, holder);
    // Who feeds from the stream ends it.
    const { signal } = new AbortController();
    const opened = source.open({ key, url }, { from: 0 }, { signal, trace });
    const stream = await opened.catch((error: unknown) => {
      fleet.blame(holder, 'unreachable', `${reasonOf(error)} (asked for ${url})`);
      return undefined;
    });
    if (!stream) return undefined;
    const boarding = await this.#launch(url, key, { source, stream }, trace).catch((error) => {
      stream.cancel();
      throw error;
    });
    // Somebody else was faster.
    if (boarding.joined) stream.cancel();
    return boarding;
  }

  /** For a peer that takes this node for the owner of the name. */
  async answer(url: string, noCache: boolean, trace?: Trace): Promise<NameAnswer> {
    return await this.#say(
      (noCache ? undefined : this.#known.fresh(url)) ?? this.#revalidate(url, noCache, trace),
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

  #launch(
    url: string,
    key: string,
    { source, stream }: { source: MemberSource; stream: SourceStream },
    trace: Trace | undefined,
  ): Promise<Boarding> {
    const { flights } = this.#deps;
    return flights.launch(key, url, (flight) => {
      return new NameFeeder(flights.feedingDeps, flight, {
        begin: () => ({ origin: source.origin, stream }),
        again: source,
        next: (turn) => this.#next(url, key, turn, trace),
        trace,
      });
    });
  }

  /**
   * Who has the rest of a file when the member that it came from has failed: whoever owns the name
   * now, and at last upstream. That may be another version.
   */
  async #next(
    url: string,
    key: string,
    turn: number,
    trace: Trace | undefined,
  ): Promise<Source | undefined> {
    const named =
      turn === 0 ? await this.resolve(url, false, trace) : await this.#upstreamFor(url, trace);
    if (named.kind === 'resolved') return await this.#sourceOf(url, named, trace);
    // The same stream again: it has just failed.
    if (named.key === key) return undefined;
    const { pool, flights, peers } = this.#deps;
    const { holder } = named;
    if (holder && peers) return new MemberSource({ peers }, holder, { key: named.key });
    // Here it comes from upstream alone, so that no two wait for each other.
    const boarding = await flights.join(named.key);
    return boarding && new LocalSource({ pool }, { kind: 'flight', boarding });
  }

  /** This node's own way, whoever owns the name. */
  async #upstreamFor(url: string, trace: Trace | undefined): Promise<Named> {
    const here = this.#atHand(url, false);
    return here ?? (await this.#upstream.ask(url, undefined, { elected: false, trace }));
  }

  /** What a name stands for, by now. */
  async #sourceOf(
    url: string,
    { resolution, holder }: Named & { readonly kind: 'resolved' },
    trace: Trace | undefined,
  ): Promise<Source> {
    const { pool, store, flights } = this.#deps;
    const { digest, size, status } = resolution;
    if (digest === undefined) {
      throw new HerdError('NOT_FOUND', `upstream answered ${status} for ${url}`, { status });
    }
    const stored = await store.open(digest);
    if (stored) {
      const object = checkedObject(store, stored);
      return new LocalSource({ pool }, { kind: 'stored', object });
    }
    const boarding = await flights.board({
      ...{ digest, url, trace },
      ...(size === undefined ? {} : { size }),
      ...(holder ? { hint: { holder } } : {}),
    });
    return new LocalSource({ pool }, { kind: 'flight', boarding });
  }

  async #ask(url: string, noCache: boolean, trace: Trace | undefined): Promise<Named> {
    const told = await this.#owners.ask(url, noCache, trace);
    return told ?? (await this.#revalidate(url, noCache, trace));
  }

  /** As the owner. */
  async #revalidate(url: string, noCache: boolean, trace: Trace | undefined): Promise<Named> {
    return await this.#revalidating.run(keyOf(url, noCache), async () => {
      const told =
        this.#atHand(url, noCache) ?? (noCache ? undefined : await this.#former.ask(url));
      if (told) return told;
      const old = await this.#known.last(url);
      // What upstream owed may have come meanwhile.
      const came = this.#atHand(url, noCache);
      if (came) return came;
      // It may take longer than those who ask have patience for.
      const asked = this.#upstream.ask(url, old?.resolution, { elected: true, trace });
      if (!old) return await asked;
      const named = await this.#stale.unlessTold(url, asked, old);
      // Those who asked have the older answer; who asks next gets what is coming.
      if (named.kind === 'resolved' && named.stale) this.#upstream.keep(url);
      return named;
    });
  }

  #atHand(url: string, noCache: boolean): Named | undefined {
    return this.#upstream.streaming(url) ?? (noCache ? undefined : this.#known.fresh(url));
  }

  async #say(asked: Named | Promise<Named>): Promise<NameAnswer> {
    try {
      const promise = Promise.resolve(asked);
      const { clock } = this.#deps;
      const named = await withDeadline(clock, promise, PENDING_AFTER_MS, undefined);
      if (named === undefined) return { kind: 'pending' };
      if (named.kind === 'streaming') return { kind: 'streaming', key: named.key };
      const { resolution, ageMs, stale } = named;
      return { kind: 'resolved', resolution, ageMs, stale };
    } catch (error) {
      return { kind: 'failed', error: HerdError.of(error).toJSON() };
    }
  }
}

/** Who wants upstream to be asked does not join those who take what is known. */
function keyOf(url: string, noCache: boolean): string {
  return noCache ? `no-cache ${url}` : url;
}
