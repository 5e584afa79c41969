// Brings an object of known digest: asks the owner, follows whom it names, or, being the owner,
// finds who has it and goes upstream last.
import { reasonOf } from '../errors.ts';
import type { Flight } from '../flight/flight.ts';
import type { Origin } from '../transfer/source.ts';
import type { Avoided } from './avoided.ts';
import type { Feeder } from './feeder.ts';
import { type FeederOptions, feederDefaults } from './feeder-options.ts';
import { Feeding } from './feeding.ts';
import { Head } from './head.ts';
import { lookupMs, takeFromHolders } from './holders.ts';
import {
  type FeedOrder,
  type Hint,
  type ObjectFeederDeps,
  type ObjectTask,
  takeFrom,
} from './object-task.ts';
import { OwnerInquiry } from './owner-inquiry.ts';

const RANKS_ASKED = 3;
/** A fetch that is over sooner is not passed on: the next in rank would begin behind it. */
const WORTH_PASSING_MS = 3_000;

export class ObjectFeeder implements Feeder {
  readonly #deps: ObjectFeederDeps;
  readonly #options: FeederOptions;
  readonly #flight: Flight;
  readonly #order: FeedOrder;
  readonly #feeding: Feeding;
  readonly #avoided: Avoided;
  readonly #task: ObjectTask;
  readonly #inquiry: OwnerInquiry;
  readonly #head: Head;
  #leading = false;
  #passedOn = false;
  #takingOver = false;

  constructor(
    deps: ObjectFeederDeps,
    flight: Flight,
    order: FeedOrder,
    options: FeederOptions = feederDefaults,
  ) {
    this.#deps = deps;
    this.#options = options;
    this.#flight = flight;
    this.#order = order;
    const { stallMs } = options;
    this.#feeding = new Feeding(deps, flight, { stallMs, trace: order.trace });
    this.#avoided = this.#feeding.faults.avoided;
    this.#task = { deps, options, flight, order, feeding: this.#feeding };
    this.#inquiry = new OwnerInquiry(this.#task, () => this.#continues);
    this.#head = new Head(this.#task, this.#inquiry);
    for (const id of order.suspects ?? []) this.#avoided.add('source', id, 'corrupt');
  }

  get origin(): Origin | undefined {
    return this.#feeding.origin;
  }

  get lastKind(): Origin['kind'] {
    return this.#feeding.lastKind;
  }

  get suspects(): ReadonlySet<string> {
    return this.#feeding.suspects;
  }

  get way(): string | undefined {
    return this.#order.trace?.id;
  }

  sourced(): Promise<void> {
    return this.#feeding.sourced();
  }

  get leading(): boolean {
    return this.#leading;
  }

  get rootAgeMs(): number {
    if (this.origin?.kind === 'upstream') return 0;
    // A head that takes bytes from a member is behind that one: two may do so in a circle.
    if (this.#leading && this.origin === undefined) return 0;
    return this.#feeding.rootAgeMs;
  }

  lead(takeover: boolean, unable: readonly string[] = []): void {
    if (this.#leading) return;
    for (const id of unable) this.#avoided.unable.add(id);
    const fed = this.#flight.pieces > 0 && this.rootAgeMs < this.#options.stallMs;
    if (fed && !takeover && this.origin?.kind === 'member') return;
    this.#becomeHead(takeover);
    if (this.origin?.kind !== 'upstream') this.#feeding.abort();
  }

  get passedOn(): boolean {
    return this.#passedOn;
  }

  get narrow(): boolean {
    return !this.#leading && this.lastKind === 'member' && this.#deps.links.narrow;
  }

  passOn(): void {
    if (!this.#leading || this.#takingOver || this.origin?.kind !== 'upstream') return;
    if (this.#feeding.fetchLeftMs < WORTH_PASSING_MS) return;
    this.#leading = false;
    this.#letGo();
    this.#feeding.abort();
  }

  #letGo(): void {
    const { counters, fleet } = this.#deps;
    counters.add('flights.passed');
    this.#passedOn = true;
    this.#avoided.add('owner', fleet.self.id, 'passed');
  }

  #becomeHead(takeover: boolean): void {
    this.#leading = true;
    this.#feeding.headHeard();
    this.#takingOver = takeover;
  }

  stop(): void {
    this.#feeding.stop();
  }

  async run(): Promise<void> {
    try {
      await this.#deps.fleet.ready();
      while (this.#feeding.open) {
        const led = this.#leading;
        if (led) await this.#head.lead(this.#takingOver);
        else await this.#follow();
        if (led === this.#leading) break;
      }
    } catch (error) {
      const reason = reasonOf(error);
      this.#feeding.faults.tried.push(reason);
      this.#deps.log.error(
        { object: this.#flight.key, request: this.way, reason },
        'feeding failed',
      );
    }
    await this.#feeding.conclude();
  }

  // ---- as a member that wants the object ----

  async #follow(): Promise<void> {
    const { fleet, links } = this.#deps;
    const { digest, host, hint, trace } = this.#order;
    if (hint) await this.#followHint(hint);
    for (const [rank, member] of fleet.rank(digest, { host, limit: RANKS_ASKED }).entries()) {
      if (!this.#continues || this.#avoided.unable.size > 1) break;
      if (this.#avoided.has('owner', member.id)) continue;
      trace?.note({ what: 'owner', member: member.name, rank });
      if (member.id === fleet.self.id) {
        const first = this.#avoided.ids('owner').length === 0;
        if (!first || !links.narrow) return this.#becomeHead(!first);
        this.#letGo();
        continue;
      }
      if ((await this.#inquiry.follow(member)) === 'head') return this.#becomeHead(false);
    }
    if (!this.#continues) return;
    await takeFromHolders(this.#task, 2 * lookupMs(this.#task));
    if (this.#continues) await this.#feeding.takeUpstream(false);
  }

  async #followHint({ holder, stream }: Hint): Promise<void> {
    const suspected = this.#avoided.has('source', holder.id);
    if (!this.#continues || suspected) return stream?.cancel();
    this.#deps.counters.add('named.by.cache');
    if (!stream) return void (await takeFrom(this.#task, holder));
    const { signal } = this.#feeding.begin();
    signal.addEventListener('abort', () => stream.cancel(), { once: true });
    await this.#feeding.consume({ kind: 'member', peer: holder }, stream);
  }

  /** False when the flight ended, this node was made the head, or an answer settled the matter. */
  get #continues(): boolean {
    const { open, faults } = this.#feeding;
    return open && !this.#leading && faults.definitive === undefined;
  }
}
