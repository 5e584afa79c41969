// Brings the bytes of one flight: asks the owner, follows whom it names, or, being the owner,
// finds who has them and goes upstream last. Ends when the flight is whole or every way failed.
import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import type { Discovery } from '../discovery/discovery.ts';
import { HerdError, reasonOf } from '../errors.ts';
import type { Flight } from '../flight/flight.ts';
import { isSmall, MiB, pieceCount } from '../limits.ts';
import { sleep, withDeadline } from '../platform/clock.ts';
import type { PieceStream, Want, WantAnswer } from '../transfer/peers.ts';
import { type FeederOptions, feederDefaults } from './feeder-options.ts';
import { Intake, type IntakeDeps, idOf } from './intake.ts';

export interface FeederDeps extends IntakeDeps {
  /** Absent in a fleet of one. */
  readonly discovery: Discovery | undefined;
}

const RANKS_ASKED = 3;
/** So many are asked by a successor what they have. In a herd the first one mostly has it. */
const MEMBERS_ASKED = 8;
/** Turns without a new piece: then the owner is asked for the bytes themselves ... */
const DIRECT_AFTER_TURNS = 3;
/** ... and then it is given up. */
const TURNS_MAX = 8;
const PAUSE_MS = 100;
/** A fetch that is over sooner is not passed on: the next in rank would begin behind it. */
const WORTH_PASSING_MS = 3_000;

/** A member that said a moment ago that it has the object. */
export interface Hint {
  readonly holder: Member;
  /** The object's bytes, if they came along. */
  readonly stream?: PieceStream;
}

interface FeedOrder {
  readonly digest: Digest;
  readonly url: string;
  /** Host of `url`, for the ranking. */
  readonly host: string;
  readonly hint?: Hint;
}

export class Feeder {
  readonly #deps: FeederDeps;
  readonly #options: FeederOptions;
  readonly #flight: Flight;
  readonly #order: FeedOrder;
  readonly #stop = new AbortController();
  readonly #failed = new Set<string>();
  readonly #unable = new Set<string>();
  readonly #intake: Intake;
  #leading = false;
  #passedOn = false;
  #takingOver = false;

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
    const { digest } = order;
    const { stallMs } = options;
    this.#intake = new Intake(deps, flight, { digest, stop: this.#stop.signal, stallMs });
  }

  /** At the moment: 'upstream', a member's name, or 'none'. */
  get source(): string {
    return this.#intake.source;
  }

  /** The present one's, or the last one's. */
  get sourceKind(): 'peer' | 'upstream' {
    return this.#intake.sourceKind;
  }

  /** Resolves when the first source is found, or there is none. */
  sourced(): Promise<void> {
    return this.#intake.sourced();
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
    return this.#deps.clock.monotonicMs() - this.#intake.rootHeardMs;
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
    if (fed && !takeover && this.#intake.sourceKind === 'peer' && this.source !== 'none') return;
    this.#becomeHead(takeover);
    if (this.source !== 'upstream') this.#intake.pull?.abort();
  }

  /** True since this node has let the next in rank fetch the object. */
  get passedOn(): boolean {
    return this.#passedOn;
  }

  /** It comes from a member through a narrow link: who waits for it does better elsewhere. */
  get narrow(): boolean {
    return !this.#leading && this.sourceKind === 'peer' && this.#deps.links.narrow;
  }

  /** Lets the next in rank fetch it, from what is here on; not what nobody else would fetch. */
  passOn(): void {
    if (!this.#leading || this.#takingOver || this.source !== 'upstream') return;
    if (this.#intake.fetchLeftMs < WORTH_PASSING_MS) return;
    this.#leading = false;
    this.#letGo();
    this.#intake.pull?.abort();
  }

  #letGo(): void {
    this.#deps.counters.add('flights.passed');
    this.#passedOn = true;
    this.#failed.add(this.#deps.fleet.self.id);
  }

  #becomeHead(takeover: boolean): void {
    this.#leading = true;
    this.#intake.rootHeardMs = this.#deps.clock.monotonicMs();
    this.#takingOver = takeover;
  }

  stop(): void {
    this.#stop.abort();
    this.#intake.pull?.abort();
  }

  async run(): Promise<void> {
    try {
      await this.#deps.fleet.ready();
      while (this.#intake.open) {
        const led = this.#leading;
        if (led) await this.#lead();
        else await this.#follow();
        if (led === this.#leading) break;
      }
    } catch (error) {
      this.#intake.tried.push(reasonOf(error));
      this.#deps.log.error({ object: this.#flight.key, reason: reasonOf(error) }, 'feeding failed');
    }
    this.#intake.end();
    if (this.#flight.state !== 'running') return;
    await this.#flight.fail(this.#stop.signal.aborted ? this.#abandoned() : this.#verdict());
  }

  #abandoned(): HerdError {
    return new HerdError('SHUTTING_DOWN', 'nobody waits for it any more');
  }

  #verdict(): HerdError {
    if (this.#intake.definitive) return this.#intake.definitive;
    const object = this.#flight.url;
    return new HerdError('NO_SOURCE', `no way to the bytes of ${object}`, {
      tried: this.#intake.tried,
    });
  }

  // ---- as a member that wants the object ----

  async #follow(): Promise<void> {
    const { digest, host, hint } = this.#order;
    if (hint) await this.#followHint(hint);
    for (const member of this.#deps.fleet.rank(digest, { host, limit: RANKS_ASKED })) {
      if (!this.#continues || this.#unable.size > 1) break;
      if (this.#failed.has(member.id)) continue;
      if (member.id === this.#deps.fleet.self.id) {
        const first = this.#failed.size === 0;
        if (!first || !this.#deps.links.narrow) return this.#becomeHead(!first);
        this.#letGo();
        continue;
      }
      await this.#askOwner(member);
    }
    if (!this.#continues) return;
    await this.#followHolders(2 * this.#lookupMs);
    if (this.#continues) await this.#intake.fromUpstream('unelected');
  }

  async #followHint({ holder, stream }: Hint): Promise<void> {
    if (!this.#continues) return;
    this.#deps.counters.add('named.by.cache');
    if (!stream) return await this.#intake.fromPeer(holder, {});
    const signal = this.#intake.begin();
    signal.addEventListener('abort', () => stream.cancel(), { once: true });
    await this.#intake.consume(holder, stream, undefined);
  }

  /** False when the flight ended, this node was made the head, or an answer settled the matter. */
  get #continues(): boolean {
    return this.#intake.open && !this.#leading && this.#intake.definitive === undefined;
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
      if (answer.kind === 'passed') {
        this.#failed.add(owner.id);
      } else if (answer.kind === 'redirect') {
        if (answer.owner.id === this.#deps.fleet.self.id) return this.#becomeHead(false);
        this.#deps.fleet.learn(answer.owner);
        owner = answer.owner;
      } else if (answer.kind === 'elsewhere') {
        this.#deps.counters.add('named.by.owner');
        await this.#intake.fromPeer(answer.source, { owner });
      } else {
        const end = await this.#intake.consume(owner, answer.stream, owner);
        // Once may be a broken connection; twice without a piece, or in silence: it is the owner.
        const gone = end === 'broken' && (idle > 0 || this.#intake.silent.has(owner.id));
        if (end === 'told') this.#unable.add(owner.id);
        if (gone || end === 'told' || end === 'passed') this.#failed.add(owner.id);
      }
      idle = this.#flight.pieces > before ? 0 : idle + 1;
      if (idle === TURNS_MAX) this.#failed.add(owner.id);
      else if (idle > 1) await sleep(this.#deps.clock, PAUSE_MS * idle, this.#stop.signal);
    }
  }

  async #want(owner: Member, direct: boolean): Promise<WantAnswer | undefined> {
    const { peers, fleet, clock } = this.#deps;
    if (!peers) return undefined;
    const signal = this.#intake.begin();
    const pull = this.#intake.pull;
    const pending = peers.want(owner, this.#wantOf(direct), { signal }).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      this.#intake.note(owner, 'unreachable', error);
      this.#failed.add(owner.id);
      return undefined;
    });
    const { ownerPatienceMs } = this.#options;
    const answer = await withDeadline(clock, pending, ownerPatienceMs, 'slow' as const);
    if (answer !== 'slow') return answer;
    // A slow owner is not a reason to wait: whoever has the object is as good.
    await this.#followHolders(this.#lookupMs);
    if (!this.#continues) {
      pull?.abort();
      void pending.then((late) => late?.kind === 'stream' && late.stream.cancel());
      return undefined;
    }
    // From here on it is this request again that a stop or a new role ends.
    this.#intake.pull = pull;
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
      ...this.#deps.links.news,
      member: fleet.self,
      view: fleet.view,
      exclude: [...this.#intake.exclude],
      failed: [...this.#failed],
      unable: [...this.#unable],
      direct,
    };
  }

  // ---- as the head: the owner, or whoever stands in for it ----

  async #lead(): Promise<void> {
    if (this.#takingOver) await this.#secondOpinion();
    await this.#pullFromAhead();
    if (this.#takingOver) await this.#askAround();
    if (this.#intake.open) await this.#followHolders(this.#lookupMs);
    if (!this.#intake.open) return;
    if (this.#flight.pieces > 0) this.#deps.counters.add('flights.takeovers');
    await this.#intake.fromUpstream('elected');
  }

  /** Somebody says that the owner is gone. It may be he who is cut off: ask the owner once. */
  async #secondOpinion(): Promise<void> {
    const { fleet, peers, clock } = this.#deps;
    const { digest, host } = this.#order;
    const [owner] = fleet.rank(digest, { host, unbiased: true, limit: 1 });
    if (!owner || owner.id === fleet.self.id || !peers) return;
    if (this.#failed.has(owner.id) || this.#unable.has(owner.id)) return;
    const signal = this.#intake.begin();
    const asked = peers
      .want(owner, this.#wantOf(true), { signal })
      .catch((error: unknown) => this.#intake.note(owner, 'unreachable', error));
    const answer = await withDeadline(clock, asked, this.#options.opinionMs, undefined);
    if (answer?.kind === 'stream') await this.#intake.consume(owner, answer.stream, undefined);
    else this.#intake.pull?.abort();
    this.#intake.exclude.add(owner.id);
  }

  /**
   * The owner may be there, and only not for those who asked this node: what it gave to others need
   * not come over the WAN again. What they have is taken, and nobody waited for.
   */
  async #askAround(): Promise<void> {
    const { size } = this.#flight.meta;
    if (size === undefined) return;
    const { digest, host } = this.#order;
    for (const member of this.#deps.fleet.rank(digest, { host, limit: MEMBERS_ASKED })) {
      if (!this.#intake.open) return;
      const { self } = this.#deps.fleet;
      if (member.id === self.id || this.#failed.has(member.id)) continue;
      await this.#intake.fromPeer(member, { to: pieceCount(size) });
    }
  }

  /** What others have of it already need not come over the WAN a second time. */
  async #pullFromAhead(): Promise<void> {
    const swarm = this.#deps.swarms.get(this.#order.digest);
    if (!swarm || swarm.members === 0) return;
    const claimed = swarm.ahead(0).length > 0;
    if (claimed) await sleep(this.#deps.clock, this.#options.gatherMs, this.#stop.signal);
    const leader = swarm.leader();
    if (leader && this.#intake.open) await this.#intake.fromPeer(leader, {});
    for (;;) {
      const next = swarm
        .ahead(this.#flight.pieces)
        .find((place) => !this.#intake.exclude.has(place.member.id));
      if (!next || !this.#intake.open) return;
      this.#deps.counters.add('named.by.cache');
      await this.#intake.fromPeer(next.member, next.whole ? {} : { to: next.have });
      this.#intake.exclude.add(next.member.id);
    }
  }

  /** A complete lookup takes a few ms; only nodes that are gone, or get no CPU, make it longer. */
  get #lookupMs(): number {
    const { lookupMs, lookupMsPerMib, lookupMaxMs } = this.#options;
    const mib = (this.#flight.meta.size ?? 0) / MiB;
    return Math.min(lookupMs + lookupMsPerMib * mib, lookupMaxMs);
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
      if (id === fleet.self.id || this.#intake.exclude.has(id)) continue;
      if (fleet.blamed(id, { busy: !isSmall(this.#flight.meta.size) })) continue;
      counters.add('named.by.dht');
      await this.#intake.fromPeer(member ?? holder, {});
      if (!this.#intake.open) return;
    }
  }
}
