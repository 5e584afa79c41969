// What the head of an object does before it goes upstream: the owner, or whoever stands in for it,
// first takes what members have of it.
import { pieceCount } from '../limits.ts';
import { sleep, withDeadline } from '../platform/clock.ts';
import { lookupMs, takeFromHolders } from './holders.ts';
import { type ObjectTask, takeFrom } from './object-task.ts';
import type { OwnerInquiry } from './owner-inquiry.ts';

/** So many are asked by a successor what they have. In a herd the first one mostly has it. */
const MEMBERS_ASKED = 8;

export class Head {
  readonly #task: ObjectTask;
  readonly #inquiry: Pick<OwnerInquiry, 'ask'>;

  constructor(task: ObjectTask, inquiry: Pick<OwnerInquiry, 'ask'>) {
    this.#task = task;
    this.#inquiry = inquiry;
  }

  /** `takingOver`: the owner did not answer others. */
  async lead(takingOver: boolean): Promise<void> {
    const { feeding, flight, deps } = this.#task;
    if (takingOver) await this.#secondOpinion();
    if (feeding.faults.definitive) return;
    await this.#pullFromAhead();
    if (takingOver) await this.#askAround();
    if (feeding.open) await takeFromHolders(this.#task, lookupMs(this.#task));
    if (!feeding.open) return;
    if (flight.pieces > 0) deps.counters.add('flights.takeovers');
    await feeding.takeUpstream(true);
  }

  /** Somebody says that the owner is gone. It may be he who is cut off: ask the owner once. */
  async #secondOpinion(): Promise<void> {
    const { deps, order, feeding, options } = this.#task;
    const { fleet, peers, clock } = deps;
    const { faults } = feeding;
    const { digest, host } = order;
    const [owner] = fleet.rank(digest, { host, unbiased: true, limit: 1 });
    if (!owner || owner.id === fleet.self.id || !peers) return;
    const { avoided } = faults;
    if (avoided.has('owner', owner.id) || avoided.unable.has(owner.id)) return;
    const pull = feeding.begin();
    const asked = this.#inquiry.ask(owner, true, pull.signal).catch((error: unknown) => {
      if (!pull.signal.aborted) faults.blame(owner, 'unreachable', error);
    });
    const answer = await withDeadline(clock, asked, options.opinionMs, undefined);
    if (answer?.kind === 'stream') {
      const origin = { kind: 'member', peer: owner } as const;
      await feeding.consume(origin, answer.stream, { authority: true });
    } else pull.abort();
    avoided.add('source', owner.id, 'spent');
  }

  /**
   * The owner may be there, and only not for those who asked this node: what it gave to others need
   * not come over the WAN again. What they have is taken, and nobody waited for.
   */
  async #askAround(): Promise<void> {
    const { deps, order, flight, feeding } = this.#task;
    const { avoided } = feeding.faults;
    const { size } = flight.meta;
    if (size === undefined) return;
    const { digest, host } = order;
    const { self } = deps.fleet;
    for (const member of deps.fleet.rank(digest, { host, limit: MEMBERS_ASKED })) {
      if (!feeding.open) return;
      if (member.id === self.id || avoided.has('owner', member.id)) continue;
      await takeFrom(this.#task, member, { to: pieceCount(size) });
    }
  }

  /** What others have of it already need not come over the WAN a second time. */
  async #pullFromAhead(): Promise<void> {
    const { deps, order, flight, feeding, options } = this.#task;
    const { avoided } = feeding.faults;
    const swarm = deps.swarms.get(order.digest);
    if (!swarm || swarm.members === 0) return;
    const claimed = swarm.ahead(0).length > 0;
    if (claimed) await sleep(deps.clock, options.gatherMs, feeding.stopped);
    const leader = swarm.leader();
    if (leader && feeding.open) await takeFrom(this.#task, leader);
    for (;;) {
      const next = swarm
        .ahead(flight.pieces)
        .find((place) => !avoided.has('source', place.member.id));
      if (!next || !feeding.open) return;
      deps.counters.add('named.by.cache');
      await takeFrom(this.#task, next.member, next.whole ? {} : { to: next.have });
      avoided.add('source', next.member.id, 'spent');
    }
  }
}
