// Asking the owner of an object, or its successor, where the bytes are, and taking them from there.
import type { Member } from '../../tracker/protocol.ts';
import { HerdError, reasonOf } from '../errors.ts';
import { sleep, withDeadline } from '../platform/clock.ts';
import type { Want, WantAnswer } from '../transfer/peers.ts';
import { lookupMs, takeFromHolders } from './holders.ts';
import { type ObjectTask, takeFrom } from './object-task.ts';
import type { Outcome } from './source-faults.ts';

/** Turns without a new piece: then the owner is asked for the bytes themselves ... */
const DIRECT_AFTER_TURNS = 3;
/** ... and then it is given up. */
const TURNS_MAX = 8;
const PAUSE_MS = 100;

export class OwnerInquiry {
  readonly #task: ObjectTask;
  readonly #continues: () => boolean;

  /** `continues`: false when nobody needs to be asked any more. */
  constructor(task: ObjectTask, continues: () => boolean) {
    this.#task = task;
    this.#continues = continues;
  }

  /**
   * Follows an owner for as long as it answers and there is progress. 'head': it says that this
   * node is the owner.
   */
  async follow(member: Member): Promise<'head' | undefined> {
    const { deps, feeding, flight } = this.#task;
    const { avoided } = feeding.faults;
    let owner = member;
    let idle = 0;
    let outcome: Outcome = 'ended';
    while (this.#continues() && !avoided.has('owner', owner.id)) {
      const before = flight.pieces;
      // What somebody else says of upstream the owner is asked itself.
      const direct = idle >= DIRECT_AFTER_TURNS || outcome === 'hearsay';
      const answer = await this.#want(owner, direct);
      if (answer === undefined) return undefined;
      if (!this.#continues()) {
        if (answer.kind === 'stream') answer.stream.cancel();
        return undefined;
      }
      if (answer.kind === 'redirect') {
        if (answer.owner.id === deps.fleet.self.id) return 'head';
        deps.fleet.learn(answer.owner);
        owner = answer.owner;
      } else outcome = await this.#takeAnswer(owner, answer, idle);
      idle = flight.pieces > before ? 0 : idle + 1;
      if (idle === TURNS_MAX) avoided.add('owner', owner.id, 'useless');
      else if (idle > 1) await sleep(deps.clock, PAUSE_MS * idle, feeding.stopped);
    }
    return undefined;
  }

  async #takeAnswer(
    owner: Member,
    answer: Exclude<WantAnswer, { kind: 'redirect' }>,
    idle: number,
  ): Promise<Outcome> {
    const { deps, feeding } = this.#task;
    const { avoided } = feeding.faults;
    if (answer.kind === 'passed') {
      avoided.add('owner', owner.id, 'passed');
      return 'passed';
    }
    if (answer.kind === 'elsewhere') {
      deps.counters.add('named.by.owner');
      return await takeFrom(this.#task, answer.source, { owner });
    }
    const origin = { kind: 'member', peer: owner } as const;
    const end = await feeding.consume(origin, answer.stream, { owner, authority: true });
    const silent = avoided.why('source', owner.id) === 'silent';
    if (end === 'told') {
      avoided.unable.add(owner.id);
      avoided.add('owner', owner.id, 'unable');
    } else if (end === 'passed') avoided.add('owner', owner.id, 'passed');
    // Once may be a broken connection; twice without a piece, or in silence: it is the owner.
    else if (end === 'broken' && (idle > 0 || silent)) {
      avoided.add('owner', owner.id, 'broken');
    }
    return end;
  }

  async #want(owner: Member, direct: boolean): Promise<WantAnswer | undefined> {
    const { deps, feeding, options } = this.#task;
    const { fleet, clock } = deps;
    const pull = feeding.begin();
    const { signal } = pull;
    const pending = this.ask(owner, direct, signal).catch((error: unknown) => {
      if (signal.aborted) return undefined;
      feeding.faults.blame(owner, 'unreachable', error);
      feeding.faults.avoided.add('owner', owner.id, 'broken');
      return undefined;
    });
    const answer = await withDeadline(clock, pending, options.ownerPatienceMs, 'slow' as const);
    if (answer !== 'slow') return answer;
    // A slow owner is not a reason to wait: whoever has the object is as good.
    await takeFromHolders(this.#task, lookupMs(this.#task));
    if (!this.#continues()) {
      pull.abort();
      void pending.then((late) => late?.kind === 'stream' && late.stream.cancel());
      return undefined;
    }
    // From here on it is this request again that a stop or a new role ends.
    feeding.backTo(pull);
    const late = await pending;
    if (late) fleet.learn(owner);
    return late;
  }

  /** Asks `owner`, and tells what it said. Rejects as `Peers.want` does. */
  async ask(owner: Member, direct: boolean, signal: AbortSignal): Promise<WantAnswer> {
    const { deps, order } = this.#task;
    const { peers, clock } = deps;
    const { trace } = order;
    const sinceMs = clock.monotonicMs();
    const note = (said: string) => {
      const tookMs = Math.round(clock.monotonicMs() - sinceMs);
      trace?.note({ what: 'asked', member: owner.name, said, tookMs });
    };
    try {
      if (!peers) throw new HerdError('SOURCE_FAILED', 'a fleet of one');
      const answer = await peers.want(owner, this.#wantOf(direct), { signal, trace });
      note(saidOf(answer));
      return answer;
    } catch (error) {
      note(reasonOf(error));
      throw error;
    }
  }

  #wantOf(direct: boolean): Want {
    const { deps, order, flight, feeding } = this.#task;
    const { fleet, links } = deps;
    const { avoided } = feeding.faults;
    const { size } = flight.meta;
    return {
      digest: order.digest,
      ...(size === undefined ? {} : { size }),
      url: order.url,
      have: flight.pieces,
      ...links.news,
      member: fleet.self,
      view: fleet.view,
      exclude: avoided.ids('source'),
      failed: avoided.ids('owner'),
      unable: [...avoided.unable],
      direct,
    };
  }
}
function saidOf(answer: WantAnswer): string {
  if (answer.kind === 'elsewhere') return `ask ${answer.source.name}`;
  if (answer.kind === 'redirect') return `${answer.owner.name} is the owner`;
  return answer.kind === 'stream' ? 'here it is' : 'let the next in rank fetch it';
}
