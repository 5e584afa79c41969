// A fleet whose members are given: one node alone, a test, a simulation.
import type { Member } from '../../tracker/protocol.ts';
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

  constructor(deps: { readonly clock: Clock }, options: StaticFleetOptions) {
    this.self = options.self;
    this.#blames = new Blames(deps.clock);
    this.#ranking = new Ranking([], this.#blames);
    this.replace(options.others ?? []);
  }

  get view(): number {
    return this.#view;
  }

  /** A new list of the others; listeners are told. */
  replace(others: readonly Member[]): void {
    this.#members = new Map([...others, this.self].map((member) => [member.id, member]));
    this.#list = [...this.#members.values()];
    this.#ranking = new Ranking(this.#list, this.#blames);
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
    if (this.solo || this.#members.has(member.id)) return;
    this.replace([...this.#list.filter(({ id }) => id !== this.self.id), member]);
  }

  blame(member: Pick<Member, 'id' | 'name'>, fault: Fault, detail: string): void {
    this.#blames.add(member, fault, detail);
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
    return Promise.resolve();
  }
}
