// Volatile names: what a URL stands for right now. The owner of a name asks upstream for all, at
// most once per freshness window; everybody else asks the owner.
//
// Snapshots (one InRelease with exactly the indexes it lists) will decide here what is adopted.
import type { Catalog, Resolution } from '../catalog/catalog.ts';
import { digestOf } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError, reasonOf } from '../errors.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import { type Clock, deadlineSignal, sleep, withDeadline } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { Log } from '../platform/log.ts';
import type { Counters } from '../status/counters.ts';
import type { VolatileReport } from '../status/report.ts';
import type { ClaimedName, NameAnswer, Peers } from '../transfer/peers.ts';
import type { Upstream, UpstreamResponse } from '../transfer/upstream.ts';
import { PieceAssembler } from './assembler.ts';
import type { Flight } from './flight.ts';
import type { Flights } from './flights.ts';

interface NamesDeps {
  readonly garbage: Garbage;
  readonly pool: PiecePool;
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly upstream: Upstream;
  readonly catalog: Catalog;
  readonly flights: Flights;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

interface NamesOptions {
  /** For so long an answer of upstream holds for everybody. */
  readonly freshnessMs: number;
}

/** With an older answer at hand, upstream is waited for so long before that one is given. */
const STALE_AFTER_MS = 5_000;
/** A file that is not whole this long after its first byte is given out as it comes in. */
const STREAM_AFTER_MS = 500;
/** A peer that asks is told to ask again when there is no answer after this time. */
const PENDING_AFTER_MS = 2_000;
/** A client of this node waits for its owner's answer at most so long. */
const ASK_MS = 25_000;
/** An upstream host that could not be reached is not waited for again so soon. */
const HOST_DOWN_MS = 10_000;
/** A node that has just started waits so long for what the owner before it knows. */
const FORMER_OWNER_MS = 3_000;
const ASK_AGAIN_MS = 100;
const RANKS_ASKED = 2;
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
    }
  | { readonly kind: 'streaming'; readonly key: string; readonly holder?: Member };

interface Known {
  readonly resolution: Resolution;
  /** Monotonic time of the confirmation by upstream. */
  readonly confirmedMs: number;
  readonly stale: boolean;
  readonly holder?: Member;
}

export class Names {
  readonly #deps: NamesDeps;
  readonly #options: NamesOptions;
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<Named>>();
  readonly #downUntilMs = new Map<string, number>();
  readonly #revalidating = new Map<string, Promise<Named>>();
  readonly #atUpstream = new Map<string, Promise<Named>>();
  /** Files that are coming in from upstream, given out as they come. */
  readonly #streaming = new Map<string, Named>();
  /** Monotonic time since when this node knows for which names it is the owner. */
  #electsSinceMs: number | undefined;

  constructor(deps: NamesDeps, options: NamesOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** For a client of this node. Throws HerdError when nobody can say. */
  async resolve(url: string, noCache: boolean): Promise<Named> {
    const fresh = noCache ? undefined : this.#fresh(url);
    return fresh ?? (await once(this.#asking, url, () => this.#ask(url, noCache)));
  }

  /** For a peer that takes this node for the owner of the name. */
  async answer(url: string, noCache: boolean): Promise<NameAnswer> {
    return await this.#say(
      (noCache ? undefined : this.#fresh(url)) ?? this.#revalidate(url, noCache),
    );
  }

  /** For a peer that became the owner of the name a moment ago. */
  async known(url: string): Promise<NameAnswer> {
    const known = this.#fresh(url) ?? this.#streaming.get(url) ?? this.#atUpstream.get(url);
    return known ? await this.#say(known) : { kind: 'unknown' };
  }

  async #say(asked: Named | Promise<Named>): Promise<NameAnswer> {
    try {
      const { clock } = this.#deps;
      const named = await withDeadline(clock, Promise.resolve(asked), PENDING_AFTER_MS, undefined);
      if (named === undefined) return { kind: 'pending' };
      if (named.kind === 'streaming') return { kind: 'streaming', key: named.key };
      const { resolution, ageMs, stale } = named;
      return { kind: 'resolved', resolution, ageMs, stale };
    } catch (error) {
      const known = error instanceof HerdError ? error : new HerdError('INTERNAL', reasonOf(error));
      return { kind: 'failed', error: known.toJSON() };
    }
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

  /** Takes over what a former owner of the name knows. */
  claim(holder: Member, { url, resolution, ageMs }: ClaimedName): void {
    const confirmedMs = this.#deps.clock.monotonicMs() - ageMs;
    const known = this.#known.get(url);
    if (known && known.confirmedMs >= confirmedMs) return;
    void this.#note(url, { resolution, confirmedMs, stale: false, holder });
  }

  /** The names known in memory, latest first. */
  report(): VolatileReport[] {
    const now = this.#deps.clock.monotonicMs();
    return [...this.#known].reverse().map(([url, { resolution, confirmedMs, stale }]) => ({
      url,
      status: resolution.status,
      ageMs: Math.round(now - confirmedMs),
      stale,
    }));
  }

  #fresh(url: string): Named | undefined {
    const known = this.#known.get(url);
    if (!known || known.stale) return undefined;
    const ageMs = this.#deps.clock.monotonicMs() - known.confirmedMs;
    if (ageMs >= this.#options.freshnessMs) return undefined;
    return namedOf(known, ageMs);
  }

  async #ask(url: string, noCache: boolean): Promise<Named> {
    const { fleet } = this.#deps;
    await fleet.ready();
    const host = new URL(url).host;
    for (const member of fleet.rank(url, { host, limit: RANKS_ASKED })) {
      if (member.id === fleet.self.id) break;
      const named = await this.#askMember(member, url, noCache);
      if (named === 'failed') break;
      if (named) return named;
    }
    return await this.#revalidate(url, noCache);
  }

  /** `undefined`: the member does not answer. 'failed': it has no way to upstream. */
  async #askMember(
    member: Member,
    url: string,
    noCache: boolean,
  ): Promise<Named | 'failed' | undefined> {
    const { fleet, peers, clock, log } = this.#deps;
    if (!peers) return undefined;
    const query = { url, noCache, view: fleet.view };
    const until = clock.monotonicMs() + ASK_MS;
    try {
      while (clock.monotonicMs() < until) {
        const answer = await peers.name(member, query, new AbortController().signal);
        if (answer.kind === 'pending') continue;
        if (answer.kind === 'streaming') return { ...answer, holder: member };
        if (answer.kind === 'resolved') return await this.#adopt(url, member, answer);
        const reason = answer.kind === 'failed' ? answer.error.message : answer.kind;
        log.info({ url, owner: member.name, reason }, 'owner has no answer');
        return 'failed';
      }
      // It is there and waits for upstream: another owner would only ask upstream once more.
      return 'failed';
    } catch (error) {
      fleet.blame(member.id, 'unreachable', `${reasonOf(error)} (asked for ${url})`);
    }
    return undefined;
  }

  async #adopt(url: string, holder: Member, answer: NameAnswer & { kind: 'resolved' }) {
    const { resolution, ageMs, stale } = answer;
    const known = {
      resolution,
      confirmedMs: this.#deps.clock.monotonicMs() - ageMs,
      stale,
      holder,
    };
    await this.#note(url, known);
    return namedOf(known, ageMs);
  }

  async #revalidate(url: string, noCache: boolean): Promise<Named> {
    return await once(this.#revalidating, url, async () => {
      const { clock } = this.#deps;
      const streaming = this.#streaming.get(url);
      if (streaming) return streaming;
      const told = noCache ? undefined : await this.#formerOwner(url);
      if (told) return told;
      const old = await this.#remembered(url);
      // It may take longer than those who ask have patience for.
      const asked = once(this.#atUpstream, url, () => this.#askUpstream(url, old?.resolution));
      if (!old) return await asked;
      const { host } = new URL(url);
      const settled = asked.catch((error: unknown) => {
        // "Not there" was true then; what upstream says now is another matter.
        if (old.resolution.status !== 200 && !isDown(error)) throw error;
        if (isDown(error)) this.#downUntilMs.set(host, clock.monotonicMs() + HOST_DOWN_MS);
        this.#deps.log.warn({ url, reason: reasonOf(error) }, 'served stale');
        return undefined;
      });
      const down = (this.#downUntilMs.get(host) ?? 0) > clock.monotonicMs();
      const patience = down ? 0 : STALE_AFTER_MS;
      const named = await withDeadline(clock, settled, patience, undefined);
      if (named) return named;
      if (!down) this.#downUntilMs.set(host, clock.monotonicMs() + HOST_DOWN_MS);
      const stale = { ...old, stale: true };
      this.#remember(url, stale);
      return namedOf(stale, this.#deps.clock.monotonicMs() - old.confirmedMs);
    });
  }

  /**
   * What the owner before this node knows, who may not have heard yet that this node has joined.
   * Only after a start: later on a change of view brings a claim.
   */
  async #formerOwner(url: string): Promise<Named | undefined> {
    const { fleet, peers, clock } = this.#deps;
    await fleet.ready();
    this.#electsSinceMs ??= clock.monotonicMs();
    const until = clock.monotonicMs() + FORMER_OWNER_MS;
    if (!peers || clock.monotonicMs() - this.#electsSinceMs >= this.#options.freshnessMs) return;
    const { host } = new URL(url);
    const [owner, former] = fleet.rank(url, { host, unbiased: true, limit: 2 });
    if (owner?.id !== fleet.self.id || !former || fleet.blamed(former.id)) return undefined;
    const query = { url, noCache: false, view: fleet.view, onlyKnown: true };
    const signal = deadlineSignal(clock, FORMER_OWNER_MS);
    try {
      while (clock.monotonicMs() < until) {
        const answer = await peers.name(former, query, signal);
        if (answer.kind === 'resolved') return await this.#adopt(url, former, answer);
        if (answer.kind === 'failed' || answer.kind === 'unknown') return undefined;
        // It is on its way there: what is not whole yet cannot be handed on under one key.
        await sleep(clock, ASK_AGAIN_MS);
      }
    } catch (error) {
      fleet.blame(former.id, 'unreachable', `${reasonOf(error)} (asked what it knew of ${url})`);
    }
    return undefined;
  }

  async #askUpstream(url: string, old: Resolution | undefined): Promise<Named> {
    const { upstream, counters } = this.#deps;
    counters.add('upstream.requests.elected');
    const response = await upstream.fetch({
      url,
      immutable: false,
      hurried: old !== undefined,
      ...(old?.etag === undefined ? {} : { ifNoneMatch: old.etag }),
      ...(old?.lastModified === undefined ? {} : { ifModifiedSince: old.lastModified }),
    });
    if (response.status === 304 && old) return await this.#confirm(url, old);
    if (response.status === 404 || response.status === 410) {
      return await this.#confirm(url, { status: response.status, checkedAtMs: 0 });
    }
    if (response.status !== 200) {
      const message = `upstream answered ${response.status} for ${url}`;
      const denied = response.status === 401 || response.status === 403;
      throw new HerdError(denied ? 'UPSTREAM_DENIED' : 'UPSTREAM_ERROR', message);
    }
    return await this.#takeBody(url, response);
  }

  async #takeBody(url: string, response: UpstreamResponse): Promise<Named> {
    const { flights, clock } = this.#deps;
    if (isHtml(response.contentType) && !url.endsWith('/') && !url.endsWith('.html')) {
      void response.body[Symbol.asyncIterator]().return?.();
      const message = `upstream gave a web page for ${url}: a captive portal or an error page`;
      throw new HerdError('UPSTREAM_ERROR', message);
    }
    const key = `name-${digestOf(`${url}\n${response.etag ?? ''}\n${clock.nowMs()}`).slice(0, 40)}`;
    const boarding = await flights.launch(key, url);
    const { flight } = boarding;
    flight.describe(metaOf(response));
    let ended = false;
    const done = this.#feed(flight, response)
      .then(() => this.#named(url, flight, response))
      .finally(() => {
        ended = true;
        this.#streaming.delete(url);
        boarding.leave();
      });
    done.catch(() => {});
    const named = await withDeadline(clock, done, STREAM_AFTER_MS, undefined);
    if (named) return named;
    const streaming = { kind: 'streaming', key } as const;
    if (!ended) this.#streaming.set(url, streaming);
    return streaming;
  }

  async #feed(flight: Flight, response: UpstreamResponse): Promise<void> {
    const { counters } = this.#deps;
    const assembler = new PieceAssembler(this.#deps.pool);
    try {
      for await (const chunk of response.body) {
        counters.add('received.bytes.upstream.elected', chunk.length);
        this.#deps.garbage.note(chunk.length);
        counters.add('unique.bytes', chunk.length);
        for (const piece of assembler.push(chunk)) await flight.append(flight.pieces, piece);
      }
      const rest = assembler.rest();
      if (rest) await flight.append(flight.pieces, rest);
      await flight.end();
    } catch (error) {
      counters.add('upstream.errors');
      const known = error instanceof HerdError ? error : new HerdError('INTERNAL', reasonOf(error));
      await flight.fail(known);
      throw known;
    }
  }

  async #named(url: string, flight: Flight, response: UpstreamResponse): Promise<Named> {
    const { lastModified, etag, contentType } = response;
    return await this.#confirm(url, {
      status: 200,
      ...(flight.digest === undefined ? {} : { digest: flight.digest }),
      size: flight.bytes,
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(etag === undefined ? {} : { etag }),
      ...(contentType === undefined ? {} : { contentType }),
      checkedAtMs: 0,
    });
  }

  async #confirm(url: string, resolution: Resolution): Promise<Named> {
    const { clock } = this.#deps;
    const known = {
      resolution: { ...resolution, checkedAtMs: clock.nowMs() },
      confirmedMs: clock.monotonicMs(),
      stale: false,
    };
    await this.#note(url, known);
    return namedOf(known, 0);
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

  /** The last answer, also from before a restart. */
  async #remembered(url: string): Promise<Known | undefined> {
    const known = this.#known.get(url);
    if (known) return known;
    const resolution = await this.#deps.catalog.resolution(url);
    if (!resolution) return undefined;
    const ageMs = Math.max(0, this.#deps.clock.nowMs() - resolution.checkedAtMs);
    return { resolution, confirmedMs: this.#deps.clock.monotonicMs() - ageMs, stale: false };
  }
}

function namedOf(known: Known, ageMs: number): Named {
  const { resolution, stale, holder } = known;
  return { kind: 'resolved', resolution, ageMs, stale, ...(holder ? { holder } : {}) };
}

function metaOf({ size, lastModified, contentType }: UpstreamResponse) {
  return {
    ...(size === undefined ? {} : { size }),
    ...(lastModified === undefined ? {} : { lastModified }),
    ...(contentType === undefined ? {} : { contentType }),
  };
}

function isDown(error: unknown): boolean {
  const code = error instanceof HerdError ? error.code : undefined;
  return code === 'UPSTREAM_UNREACHABLE' || code === 'UPSTREAM_STALLED';
}

function isHtml(contentType: string | undefined): boolean {
  return contentType?.toLowerCase().startsWith('text/html') ?? false;
}

/** Callers that come while an answer for `key` is on its way share it. */
function once<T>(pending: Map<string, Promise<T>>, key: string, run: () => Promise<T>): Promise<T> {
  const known = pending.get(key);
  if (known) return known;
  const promise = run().finally(() => pending.delete(key));
  pending.set(key, promise);
  return promise;
}
