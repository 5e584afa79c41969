// Brings the bytes of one flight: asks the owner, follows whom it names, or, being the owner,
// finds who has them and goes upstream last. Ends when the flight is whole or every way failed.
import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import type { Discovery } from '../discovery/discovery.ts';
import { HerdError, reasonOf } from '../errors.ts';
import type { Fault, Fleet } from '../fleet/fleet.ts';
import { MiB, PIECE_BYTES } from '../limits.ts';
import { type Clock, sleep, withDeadline } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { Log } from '../platform/log.ts';
import type { Counters } from '../status/counters.ts';
import type { PeerAddress, Peers, PieceStream, Want, WantAnswer } from '../transfer/peers.ts';
import type { Upstream, UpstreamResponse } from '../transfer/upstream.ts';
import { PieceAssembler } from './assembler.ts';
import type { Flight } from './flight.ts';
import type { Swarms } from './swarm.ts';

export interface FeederDeps {
  readonly garbage: Garbage;
  readonly pool: PiecePool;
  readonly fleet: Fleet;
  /** Both absent in a fleet of one. */
  readonly peers: Peers | undefined;
  readonly discovery: Discovery | undefined;
  readonly upstream: Upstream;
  readonly swarms: Swarms;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

export interface FeederOptions {
  /** How long an owner looks for holders in the DHT before it goes upstream. */
  readonly lookupMs: number;
  /** An owner that is silent for so long: the DHT is asked as well. */
  readonly ownerPatienceMs: number;
  /** Time for those who have a part of an orphaned object to come forward. */
  readonly gatherMs: number;
  /** How long an owner that somebody calls gone may take to say that it is not. */
  readonly opinionMs: number;
  /** A chain of relays whose head was not heard of for so long is given up. */
  readonly stallMs: number;
}

export const feederDefaults: FeederOptions = {
  lookupMs: 25,
  ownerPatienceMs: 3_000,
  gatherMs: 60,
  opinionMs: 6_000,
  stallMs: 12_000,
};

/** Objects above this size report their progress to the owner. */
const REPORT_BYTES = 4 * MiB;
const REPORT_EVERY_MS = 1_000;
const RANKS_ASKED = 3;
/** Turns without a new piece: then the owner is asked for the bytes themselves ... */
const DIRECT_AFTER_TURNS = 3;
/** ... and then it is given up. */
const TURNS_MAX = 8;
const PAUSE_MS = 100;

export interface FeedOrder {
  readonly digest: Digest;
  readonly url: string;
  /** Host of `url`, for the ranking. */
  readonly host: string;
  /** Members that are known to have it, for example because they said so a moment ago. */
  readonly hints: readonly PeerAddress[];
}

/** How a peer's stream ended. 'told': the peer is well, but says that upstream is out of reach. */
type Outcome = 'ended' | 'broken' | 'told';

export class Feeder {
  readonly #deps: FeederDeps;
  readonly #options: FeederOptions;
  readonly #flight: Flight;
  readonly #order: FeedOrder;
  readonly #stop = new AbortController();
  readonly #exclude = new Set<string>();
  readonly #failed = new Set<string>();
  readonly #silent = new Set<string>();
  readonly #unable = new Set<string>();
  readonly #tried: string[] = [];
  #leading = false;
  #takingOver = false;
  #pull: AbortController | undefined;
  #rootHeardMs: number;
  #pieceAtMs = 0;
  #definitive: HerdError | undefined;
  readonly #sourced = Promise.withResolvers<void>();
  #source = 'none';
  /** The last one. */
  sourceKind: 'peer' | 'upstream' = 'peer';

  constructor(
    deps: FeederDeps,
    flight: Flight,
    order: FeedOrder,
    options: FeederOptions = feederDefaults,
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#flight = flight;
    this.#order = order;
    this.#rootHeardMs = deps.clock.monotonicMs();
  }

  /** At the moment: 'upstream', a member's name, or 'none'. */
  get source(): string {
    return this.#source;
  }

  /** Resolves when the first source is found, or there is none. */
  sourced(): Promise<void> {
    return this.#sourced.promise;
  }

  /** True while this node is the one that fetches the object for the others. */
  get leading(): boolean {
    return this.#leading;
  }

  /** Since the head of the chain was last known to be at work; 0 where upstream is at work. */
  get rootAgeMs(): number {
    if (this.source === 'upstream') return 0;
    // A head that takes bytes from a member is behind that one: two may do so in a circle.
    if (this.#leading && this.source === 'none') return 0;
    return this.#deps.clock.monotonicMs() - this.#rootHeardMs;
  }

  /**
   * Makes this node the head: others ask it as the owner. `takeover`: the owner did not answer.
   * `unable`: members that could not reach upstream. Without takeover, a node that is being fed
   * well stays where it is and just passes on.
   */
  lead(takeover: boolean, unable: readonly string[] = []): void {
    if (this.#leading) return;
    for (const id of unable) this.#unable.add(id);
    const fed = this.#flight.pieces > 0 && this.rootAgeMs < this.#options.stallMs;
    if (fed && !takeover && this.sourceKind === 'peer' && this.source !== 'none') return;
    this.#becomeHead(takeover);
    if (this.source !== 'upstream') this.#pull?.abort();
  }

  #becomeHead(takeover: boolean): void {
    this.#leading = true;
    this.#rootHeardMs = this.#deps.clock.monotonicMs();
    this.#takingOver = takeover;
  }

  stop(): void {
    this.#stop.abort();
    this.#pull?.abort();
  }

  async run(): Promise<void> {
    try {
      await this.#deps.fleet.ready();
      while (this.#open) {
        const led = this.#leading;
        if (led) await this.#lead();
        else await this.#follow();
        if (led === this.#leading) break;
      }
    } catch (error) {
      this.#tried.push(reasonOf(error));
      this.#deps.log.error({ object: this.#flight.key, reason: reasonOf(error) }, 'feeding failed');
    }
    this.#source = 'none';
    this.#sourced.resolve();
    if (this.#flight.state !== 'running') return;
    await this.#flight.fail(this.#stop.signal.aborted ? this.#abandoned() : this.#verdict());
  }

  get #open(): boolean {
    return this.#flight.state === 'running' && !this.#stop.signal.aborted;
  }

  #abandoned(): HerdError {
    return new HerdError('SHUTTING_DOWN', 'nobody waits for it any more');
  }

  #verdict(): HerdError {
    if (this.#definitive) return this.#definitive;
    const object = this.#flight.url;
    return new HerdError('NO_SOURCE', `no way to the bytes of ${object}`, { tried: this.#tried });
  }

  // ---- as a member that wants the object ----

  async #follow(): Promise<void> {
    for (const hint of this.#order.hints) {
      if (!this.#continues) return;
      this.#deps.counters.add('named.by.cache');
      await this.#pullFrom(hint, {});
    }
    const { digest, host } = this.#order;
    for (const member of this.#deps.fleet.rank(digest, { host, limit: RANKS_ASKED })) {
      if (!this.#continues || this.#unable.size > 1) break;
      if (member.id === this.#deps.fleet.self.id) {
        return this.#becomeHead(this.#failed.size > 0);
      }
      await this.#askOwner(member);
    }
    if (!this.#continues) return;
    await this.#followHolders(2 * this.#options.lookupMs);
    if (this.#continues) await this.#fetchUpstream('unelected');
  }

  /** False when the flight ended, this node was made the head, or an answer settled the matter. */
  get #continues(): boolean {
    return this.#open && !this.#leading && this.#definitive === undefined;
  }

  /** Follows an owner for as long as it answers and there is progress. */
  async #askOwner(member: Member): Promise<void> {
    let owner = member;
    let idle = 0;
    while (this.#continues && !this.#failed.has(owner.id)) {
      const before = this.#flight.pieces;
      const answer = await this.#want(owner, idle >= DIRECT_AFTER_TURNS);
      if (answer === undefined) return;
      if (!this.#continues) {
        if (answer.kind === 'stream') answer.stream.cancel();
        return;
      }
      if (answer.kind === 'redirect') {
        if (answer.owner.id === this.#deps.fleet.self.id) return this.#becomeHead(false);
        this.#deps.fleet.learn(answer.owner);
        owner = answer.owner;
      } else if (answer.kind === 'elsewhere') {
        this.#deps.counters.add('named.by.owner');
        await this.#pullFrom(answer.source, { owner });
      } else {
        const end = await this.#consume(owner, answer.stream, owner);
        // Once may be a broken connection; twice without a piece, or in silence: it is the owner.
        const gone = end === 'broken' && (idle > 0 || this.#silent.has(owner.id));
        if (end === 'told') this.#unable.add(owner.id);
        if (gone || end === 'told') this.#failed.add(owner.id);
      }
      idle = this.#flight.pieces > before ? 0 : idle + 1;
      if (idle === TURNS_MAX) this.#failed.add(owner.id);
      else if (idle > 1) await sleep(this.#deps.clock, PAUSE_MS * idle, this.#stop.signal);
    }
  }

  async #want(owner: Member, direct: boolean): Promise<WantAnswer | undefined> {
    const { peers, fleet, clock } = this.#deps;
    if (!peers) return undefined;
    const signal = this.#newPull();
    const pull = this.#pull;
    const pending = peers.want(owner, this.#wantOf(direct), signal).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      this.#note(owner, 'unreachable', error);
      this.#failed.add(owner.id);
      return undefined;
    });
    const { ownerPatienceMs } = this.#options;
    const answer = await withDeadline(clock, pending, ownerPatienceMs, 'slow' as const);
    if (answer !== 'slow') return answer;
    // A slow owner is not a reason to wait: whoever has the object is as good.
    await this.#followHolders(this.#options.lookupMs);
    if (this.#flight.state !== 'running' || this.#leading) {
      void pending.then((late) => late?.kind === 'stream' && late.stream.cancel());
      return undefined;
    }
    // From here on it is this request again that a stop or a new role ends.
    this.#pull = pull;
    const late = await pending;
    if (late) fleet.learn(owner);
    return late;
  }

  #wantOf(direct: boolean): Want {
    const { fleet } = this.#deps;
    const { size } = this.#flight.meta;
    return {
      digest: this.#order.digest,
      ...(size === undefined ? {} : { size }),
      url: this.#order.url,
      have: this.#flight.pieces,
      member: fleet.self,
      view: fleet.view,
      exclude: [...this.#exclude],
      failed: [...this.#failed],
      unable: [...this.#unable],
      direct,
    };
  }

  // ---- as the head: the owner, or whoever stands in for it ----

  async #lead(): Promise<void> {
    if (this.#takingOver) await this.#secondOpinion();
    await this.#pullFromAhead();
    if (this.#open) await this.#followHolders(this.#options.lookupMs);
    if (!this.#open) return;
    if (this.#flight.pieces > 0) this.#deps.counters.add('flights.takeovers');
    await this.#fetchUpstream('elected');
  }

  /** Somebody says that the owner is gone. It may be he who is cut off: ask the owner once. */
  async #secondOpinion(): Promise<void> {
    const { fleet, peers } = this.#deps;
    const { digest, host } = this.#order;
    const [owner] = fleet.rank(digest, { host, unbiased: true, limit: 1 });
    if (!owner || owner.id === fleet.self.id || !peers) return;
    if (this.#failed.has(owner.id) || this.#unable.has(owner.id)) return;
    const signal = this.#newPull();
    const asked = peers
      .want(owner, this.#wantOf(true), signal)
      .catch((error: unknown) => this.#note(owner, 'unreachable', error));
    const { clock } = this.#deps;
    const answer = await withDeadline(clock, asked, this.#options.opinionMs, undefined);
    if (answer?.kind === 'stream') await this.#consume(owner, answer.stream, undefined);
    else this.#pull?.abort();
  }

  /** What others have of it already need not come over the WAN a second time. */
  async #pullFromAhead(): Promise<void> {
    const swarm = this.#deps.swarms.get(this.#order.digest);
    if (!swarm || swarm.members === 0) return;
    const claimed = swarm.ahead(0).length > 0;
    if (claimed) await sleep(this.#deps.clock, this.#options.gatherMs, this.#stop.signal);
    const leader = swarm.leader();
    if (leader && this.#open) await this.#pullFrom(leader, {});
    for (;;) {
      const next = swarm
        .ahead(this.#flight.pieces)
        .find((place) => !this.#exclude.has(place.member.id));
      if (!next || !this.#open) return;
      this.#deps.counters.add('named.by.cache');
      await this.#pullFrom(next.member, next.whole ? {} : { to: next.have });
      this.#exclude.add(next.member.id);
    }
  }

  async #followHolders(deadlineMs: number): Promise<void> {
    const { discovery, counters, fleet } = this.#deps;
    if (!discovery) return;
    counters.add('dht.lookups');
    const { signal } = this.#stop;
    for await (const holder of discovery.find(this.#order.digest, { deadlineMs, signal })) {
      const member = fleet
        .members()
        .find(({ address, port }) => address === holder.address && port === holder.port);
      const id = idOf(member ?? holder);
      // A record outlives its node for hours: one that did not answer a moment ago is not tried.
      if (id === fleet.self.id || this.#exclude.has(id) || fleet.blamed(id)) continue;
      counters.add('named.by.dht');
      await this.#pullFrom(member ?? holder, {});
      if (!this.#open) return;
    }
  }

  async #fetchUpstream(role: 'elected' | 'unelected'): Promise<void> {
    const { upstream, counters } = this.#deps;
    const from = this.#flight.pieces * PIECE_BYTES;
    const signal = this.#newPull();
    let body: UpstreamResponse['body'] | undefined;
    this.#takeFrom('upstream', 'upstream');
    counters.add(`upstream.requests.${role}`);
    try {
      const response = await upstream.fetch({
        url: this.#order.url,
        from,
        immutable: true,
        signal,
      });
      if (response.status !== 200) throw refused(this.#order.url, response.status);
      const { size, lastModified, contentType } = response;
      body = response.body;
      this.#flight.describe({
        ...(size === undefined ? {} : { size }),
        ...(lastModified === undefined ? {} : { lastModified }),
        ...(contentType === undefined ? {} : { contentType }),
      });
      await this.#appendBody(response.body, from - response.from, role);
      if (this.#flight.error?.code === 'CONTENT_MISMATCH') this.#wholeIsWrong(this.#flight.error);
    } catch (error) {
      void body?.[Symbol.asyncIterator]().return?.();
      if (!signal.aborted) await this.#upstreamFailed(error);
    } finally {
      this.#source = 'none';
    }
  }

  async #appendBody(body: AsyncIterable<Buffer>, skip: number, role: 'elected' | 'unelected') {
    const { counters } = this.#deps;
    const assembler = new PieceAssembler(this.#deps.pool, skip);
    for await (const chunk of body) {
      counters.add(`received.bytes.upstream.${role}`, chunk.length);
      this.#deps.garbage.note(chunk.length);
      for (const piece of assembler.push(chunk)) await this.#appendOwn(piece, role);
      if (this.#flight.state !== 'running') return;
    }
    const rest = assembler.rest();
    if (rest) await this.#appendOwn(rest, role);
    await this.#flight.end();
  }

  async #appendOwn(piece: Buffer, role: 'elected' | 'unelected'): Promise<void> {
    await this.#flight.append(this.#flight.pieces, piece);
    if (role === 'elected') this.#deps.counters.add('unique.bytes', piece.length);
  }

  async #upstreamFailed(error: unknown): Promise<void> {
    if (!this.#open) return;
    this.#deps.counters.add('upstream.errors');
    this.#tried.push(`upstream: ${reasonOf(error)}`);
    if (error instanceof HerdError && error.code !== 'SOURCE_FAILED') this.#definitive = error;
    if (error instanceof HerdError && error.code === 'CONTENT_MISMATCH') {
      await this.#flight.fail(error);
      this.#wholeIsWrong(error);
    }
  }

  /** Every piece was what its source said, so upstream gave it so; nobody has the right bytes. */
  #wholeIsWrong(error: HerdError): void {
    this.#deps.swarms.forget(this.#order.digest);
    this.#deps.fleet.blame('upstream', 'corrupt', `${this.#order.url}: ${error.message}`);
  }

  // ---- taking bytes from a peer ----

  async #pullFrom(peer: PeerAddress, options: { to?: number; owner?: Member }): Promise<void> {
    const { peers } = this.#deps;
    if (!peers || this.#exclude.has(idOf(peer))) return;
    const range = {
      from: this.#flight.pieces,
      ...(options.to === undefined ? {} : { to: options.to }),
    };
    try {
      const stream = await peers.object(peer, this.#flight.key, range, this.#newPull());
      if (stream) return void (await this.#consume(peer, stream, options.owner));
      this.#tried.push(`${labelOf(peer)}: does not have it`);
    } catch (error) {
      if (this.#pull?.signal.aborted) return;
      this.#note(peer, 'unreachable', error);
    }
    this.#exclude.add(idOf(peer));
  }

  /** Takes a stream to its end. A source that fails is excluded for this flight. */
  async #consume(
    peer: PeerAddress,
    stream: PieceStream,
    owner: Member | undefined,
  ): Promise<Outcome> {
    const { clock } = this.#deps;
    this.#takeFrom('peer', labelOf(peer));
    this.#rootHeardMs = clock.monotonicMs();
    this.#pieceAtMs = this.#rootHeardMs;
    const pull = this.#pull;
    const report =
      owner && (this.#flight.meta.size ?? 0) > REPORT_BYTES
        ? clock.every(REPORT_EVERY_MS, () => void this.#report(owner, peer, pull))
        : undefined;
    try {
      while (this.#open && (await this.#takeFrame(peer, stream)));
      // It gave what it was asked for, or all it had: nothing more is to be had from it.
      if (this.#open) this.#exclude.add(idOf(peer));
    } catch (error) {
      return pull?.signal.aborted ? 'ended' : this.#sourceFailed(peer, error);
    } finally {
      this.#source = 'none';
      report?.cancel();
      if (this.#flight.state === 'whole') stream.done();
      else stream.cancel();
    }
    if (owner && this.#flight.state === 'whole') this.#reportWhole(owner, peer);
    return 'ended';
  }

  async #takeFrame(peer: PeerAddress, stream: PieceStream): Promise<boolean> {
    const frame = await stream.next();
    if (frame === undefined) return false;
    switch (frame.type) {
      case 'meta':
        this.#flight.describe(frame.meta);
        return true;
      case 'piece':
        this.#rootHeardMs = this.#deps.clock.monotonicMs();
        this.#pieceAtMs = this.#rootHeardMs;
        this.#deps.counters.add('received.bytes.peer', frame.bytes.length);
        await this.#flight.append(frame.index, frame.bytes, frame.hash);
        return true;
      case 'wait':
        this.#rootHeardMs = this.#deps.clock.monotonicMs() - frame.ageMs;
        if (frame.ageMs <= this.#options.stallMs) return true;
        throw new HerdError('SOURCE_STALLED', `${labelOf(peer)} waits for somebody who is gone`);
      case 'end':
        await this.#flight.end();
        return false;
      case 'fail':
        await this.#headFailed(HerdError.from(frame.error));
        return false;
    }
  }

  /** The peer is well, but whoever fetches for it got nothing, or something wrong. */
  async #headFailed(error: HerdError): Promise<void> {
    this.#tried.push(`${this.source}: ${error.message}`);
    if (error.code === 'NOT_FOUND') this.#definitive = error;
    else if (error.code === 'CONTENT_MISMATCH') await this.#flight.fail(error);
    else if (error.code === 'SHUTTING_DOWN') throw new HerdError('SOURCE_FAILED', error.message);
    else throw new HerdError('NO_SOURCE', error.message);
  }

  /** True when the peer itself is well. */
  #sourceFailed(peer: PeerAddress, error: unknown): Outcome {
    this.#exclude.add(idOf(peer));
    const code = error instanceof HerdError ? error.code : 'INTERNAL';
    if (code === 'CONTENT_MISMATCH') {
      this.#deps.counters.add('pieces.bad');
      this.#note(peer, 'corrupt', error);
    } else if (code === 'SOURCE_STALLED') {
      this.#silent.add(idOf(peer));
      this.#note(peer, 'stalled', error);
    } else if (code === 'SOURCE_FAILED') this.#note(peer, 'unreachable', error);
    else return 'told';
    return 'broken';
  }

  async #report(owner: Member, source: PeerAddress, pull: AbortController | undefined) {
    const { peers, fleet } = this.#deps;
    const progress = {
      digest: this.#order.digest,
      member: fleet.self.id,
      have: this.#flight.pieces,
      source: source.id ?? '',
    };
    const answer = await peers?.progress(owner, progress, this.#stop.signal).catch(() => undefined);
    if (!answer?.move || !this.#open || this.#pull !== pull) return;
    if (answer.move === 'slow') this.#noteSlow(source);
    this.#exclude.add(idOf(source));
    pull?.abort();
  }

  #noteSlow(source: PeerAddress): void {
    const quietMs = Math.round(this.#deps.clock.monotonicMs() - this.#pieceAtMs);
    if (quietMs > REPORT_EVERY_MS) {
      this.#note(source, 'stalled', `${labelOf(source)} gave nothing for ${quietMs} ms`);
    } else this.#note(source, 'slow', `${labelOf(source)} gives less than it has`);
  }

  #reportWhole(owner: Member, source: PeerAddress): void {
    if ((this.#flight.meta.size ?? 0) > REPORT_BYTES) void this.#report(owner, source, undefined);
  }

  #note(peer: PeerAddress, fault: Fault, error: unknown): undefined {
    if (this.#stop.signal.aborted || this.#pull?.signal.aborted) return undefined;
    const reason = reasonOf(error);
    this.#tried.push(`${labelOf(peer)}: ${reason}`);
    const detail = `${reason} (${this.#flight.key.slice(0, 12)}…, piece ${this.#flight.pieces})`;
    this.#deps.fleet.blame(idOf(peer), fault, detail);
    this.#deps.log.warn({ peer: labelOf(peer), fault, object: this.#flight.key }, reason);
    return undefined;
  }

  #takeFrom(kind: 'peer' | 'upstream', source: string): void {
    this.#source = source;
    this.sourceKind = kind;
    this.#sourced.resolve();
  }

  /** A fresh signal for the next source; ends with the feeder. */
  #newPull(): AbortSignal {
    this.#pull = new AbortController();
    if (this.#stop.signal.aborted) this.#pull.abort();
    return this.#pull.signal;
  }
}

/** An address found in the DHT may be that of nobody in the list. */
function idOf(peer: PeerAddress): string {
  return peer.id ?? `${peer.address}:${peer.port}`;
}

function labelOf(peer: PeerAddress): string {
  return peer.name ?? `${peer.address}:${peer.port}`;
}

function refused(url: string, status: number): HerdError {
  const message = `upstream answered ${status} for ${url}`;
  if (status === 404 || status === 410) return new HerdError('NOT_FOUND', message, { status });
  if (status === 401 || status === 403)
    return new HerdError('UPSTREAM_DENIED', message, { status });
  return new HerdError('UPSTREAM_ERROR', message);
}
