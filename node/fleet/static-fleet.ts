// A fleet whose members are given: one node alone, a test, a simulation.
import { type Member, sameMember } from '../../tracker/protocol.ts';
import type { Clock } from '../platform/clock.ts';
import { Blames } from './blames.ts';
import type { Blame, Fault, Fleet, RankOptions } from './fleet.ts';
import { Ranking } from './ranking.ts';

export interface StaticFleetOptions {
  readonly self: Member;
  /** The others; the node itself is added. */
  readonly others?: readonly Member[];
}

export class StaticFleet implements Fleet {
  readonly self: Member;
  readonly solo: boolean = false;
  readonly #blames: Blames;
  readonly #listeners: (() => void)[] = [];
  #view = 0;
  #members = new Map<string, Member>();
  #list: readonly Member[] = [];
  #ranking: Ranking;
  #closed = false;

  constructor(deps: { readonly clock: Clock }, options: StaticFleetOptions) {
    this.self = options.self;
    this.#blames = new Blames(deps.clock);
    this.#ranking = new Ranking([], this.#blames, this.self.protocol);
    this.replace(options.others ?? []);
  }

  get view(): number {
    return this.#view;
  }

  /** A new list of the others; listeners are told if it differs. */
  replace(others: readonly Member[]): void {
    const members = new Map([...others, this.self].map((member) => [member.id, member]));
    const fresh = [...members.values()].filter((member) => {
      const known = this.#members.get(member.id);
      return known === undefined || !sameMember(known, member);
    });
    const same = fresh.length === 0 && members.size === this.#members.size;
    if (same || this.#closed) return;
    for (const { id, epoch } of fresh) {
      if (this.#members.get(id)?.epoch !== epoch) this.#blames.restarted(id);
    }
    this.#members = members;
    this.#list = [...members.values()];
    this.#ranking = new Ranking(this.#list, this.#blames, this.self.protocol);
    this.#view++;
    for (const listener of this.#listeners) listener();
  }

  members(): readonly Member[] {
    return this.#list;
  }

  member(id: string): Member | undefined {
    return this.#members.get(id);
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  rank(key: string, options?: RankOptions): Member[] {
    return this.#ranking.rank(key, options);
  }

  learn(member: Member): void {
    const known = this.#members.get(member.id);
    if (this.solo || (known && known.epoch > member.epoch)) return;
    this.replace([...this.#list, member]);
  }

  blame(member: Pick<Member, 'id' | 'name'>, fault: Fault, detail: string): void {
    if (member.id !== this.self.id) this.#blames.add(member, fault, detail);
  }

  blamed(id: string, options?: { busy?: boolean }): Blame | undefined {
    return this.#blames.of(id, options);
  }

  blames(): readonly Blame[] {
    return this.#blames.latest();
  }

  onChange(fn: () => void): void {
    this.#listeners.push(fn);
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }
}
