// The fleet as its trackers tell it, and as the last list and other members do without them.
import { TrackerClient } from '../../tracker/client.ts';
import type { Member, MemberChange, Vitals } from '../../tracker/protocol.ts';
import { reasonOf } from '../errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Random } from '../platform/random.ts';
import type { Credentials } from '../wire/credentials.ts';
import { sharedProtocol } from '../wire/protocol.ts';
import { Blames } from './blames.ts';
import type { Blame, Fault, Fleet, RankOptions } from './fleet.ts';
import { LastList } from './last-list.ts';
import { MemberList } from './member-list.ts';
import { Ranking } from './ranking.ts';
import { Settling } from './settling.ts';

export interface TrackerFleetDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What this node reports of itself, asked with each announcement. */
  vitals(): Vitals;
  /** `membersForPeers()` of another member; throws when it cannot be reached. */
  askPeerForMembers(member: Member): Promise<readonly Member[]>;
  /** A message went to a tracker or came from one. */
  trackerMessage?(): void;
}

export interface TrackerFleetOptions {
  /** With an empty address the trackers fill it in. */
  readonly self: Member;
  /** URLs (`https://host:port`), in any order; all are used at once. */
  readonly trackers: readonly string[];
  readonly credentials: Credentials;
  /** Where the last list is kept, a file in the state folder. */
  readonly listFile: string;
  /** Elections wait until nobody joined for so long ... */
  readonly settleMs?: number;
  /** ... but no longer than this after the start. */
  readonly deadlineMs?: number;
  /** How long members that a restarted tracker does not know stay. */
  readonly graceMs?: number;
  /** While no tracker answers, a member is asked for its list this often. */
  readonly exchangeMs?: number;
}

const SWEEP_MS = 5000;

export class TrackerFleet implements Fleet {
  readonly solo = false;
  readonly #deps: TrackerFleetDeps;
  readonly #list: MemberList;
  readonly #lastList: LastList;
  readonly #blames: Blames;
  readonly #settling: Settling;
  readonly #clients: readonly TrackerClient[];
  readonly #timers: Timer[];
  readonly #listeners: (() => void)[] = [];
  // What is announced: the address stays empty, so that a new address is noticed.
  #announced: Member;
  #members: readonly Member[];
  #ranking: Ranking;
  #closed = false;

  /** Loads the last list and starts to announce. */
  static async open(deps: TrackerFleetDeps, options: TrackerFleetOptions): Promise<TrackerFleet> {
    const lastList = new LastList(deps, { path: options.listFile });
    return new TrackerFleet(deps, options, lastList, await lastList.load());
  }

  private constructor(
    deps: TrackerFleetDeps,
    options: TrackerFleetOptions,
    lastList: LastList,
    lastMembers: readonly Member[],
  ) {
    const { clock, random } = deps;
    this.#deps = deps;
    this.#announced = options.self;
    this.#lastList = lastList;
    this.#blames = new Blames(clock);
    this.#list = new MemberList({ self: options.self, graceMs: options.graceMs ?? 20_000 });
    this.#list.restore(lastMembers);
    this.#members = [...this.#list.members.values()];
    this.#ranking = new Ranking(this.#members, this.#blames, this.self.protocol);
    this.#settling = new Settling(clock, {
      quietMs: options.settleMs ?? 250,
      deadlineMs: options.deadlineMs ?? 2000,
    });
    this.#clients = options.trackers.map((url) => this.#client(url, options.credentials));
    for (const client of this.#clients) client.start();
    if (this.#clients.length === 0) this.#settling.end();
    const exchangeMs = (options.exchangeMs ?? 30_000) * (0.75 + 0.5 * random.next());
    this.#timers = [
      clock.every(SWEEP_MS, () => this.#changed(this.#list.sweep(clock.monotonicMs()))),
      clock.every(exchangeMs, () => void this.#exchange()),
    ];
    void this.ready().then(() => this.#exchange());
  }

  get self(): Member {
    return this.#list.self;
  }

  get view(): number {
    return this.#list.view;
  }

  members(): readonly Member[] {
    return this.#members;
  }

  member(id: string): Member | undefined {
    return this.#list.members.get(id);
  }

  ready(): Promise<void> {
    return this.#settling.ready();
  }

  rank(key: string, options?: RankOptions): Member[] {
    return this.#ranking.rank(key, options);
  }

  learn(member: Member): void {
    this.#changed(this.#list.learn(member, this.#deps.clock.monotonicMs()));
  }

  blame(member: Pick<Member, 'id' | 'name'>, fault: Fault, detail: string): void {
    if (member.id === this.self.id) return;
    const added = this.#blames.add(member, fault, detail);
    if (added) this.#deps.log.warn({ member: member.name, fault, detail }, 'member blamed');
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

  /** For the status report. */
  trackers(): { url: string; connected: boolean }[] {
    return this.#clients.map(({ url, connected }) => ({ url, connected }));
  }

  /** What another member may know: who is here, without those that do not answer this node. */
  membersForPeers(): Member[] {
    return this.#members.filter(
      ({ id, address }) => address !== '' && this.blamed(id)?.fault !== 'unreachable',
    );
  }

  /** Describes this node anew (its apt sources changed) and announces it at once. */
  async describe(fields: Partial<Pick<Member, 'archives' | 'upstream' | 'port'>>): Promise<void> {
    this.#announced = { ...this.#announced, ...fields };
    this.#changed(this.#list.setSelf({ ...this.self, ...fields }));
    await Promise.all(this.#clients.map((client) => client.announce()));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#settling.end();
    for (const timer of this.#timers) timer.cancel();
    await Promise.all(this.#clients.map((client) => client.close()));
    await this.#lastList.flush();
  }

  #client(url: string, credentials: Credentials): TrackerClient {
    const { clock, random, log, vitals, trackerMessage } = this.#deps;
    const nowMs = () => clock.monotonicMs();
    return new TrackerClient(
      {
        clock,
        random,
        log,
        describe: () => ({ member: this.#announced, vitals: vitals() }),
        onAnswer: ({ address }) => this.#seenAs(address),
        onChange: (change) => this.#apply(url, change),
        onDown: () => this.#changed(this.#list.down(url, nowMs())),
        onMessage: () => trackerMessage?.(),
      },
      { url, credentials },
    );
  }

  #apply(url: string, change: MemberChange): void {
    const fresh = this.#list.apply(url, change, this.#deps.clock.monotonicMs());
    if (change.full || fresh !== undefined) this.#settling.changed(true);
    this.#changed(fresh);
  }

  #seenAs(address: string): void {
    if (this.#announced.address !== '' || this.self.address === address) return;
    this.#changed(this.#list.setSelf({ ...this.self, address }));
  }

  #changed(fresh: string[] | undefined): void {
    if (fresh === undefined || this.#closed) return;
    const before = new Map(this.#members.map(({ id, epoch }) => [id, epoch]));
    for (const id of fresh) {
      const member = this.member(id);
      if (before.get(id) !== member?.epoch) this.#blames.restarted(id);
      if (member && !this.#understands(member)) this.#blameProtocol(member);
    }
    this.#members = [...this.#list.members.values()];
    this.#ranking = new Ranking(this.#members, this.#blames, this.self.protocol);
    this.#lastList.save(() => this.#members.filter(({ id }) => id !== this.self.id));
    for (const listener of this.#listeners) listener();
  }

  #understands({ protocol }: Member): boolean {
    return sharedProtocol(protocol, this.self.protocol) !== undefined;
  }

  /** For people: such a member is not ranked at all. */
  #blameProtocol(member: Member): void {
    const detail = `speaks protocol ${member.protocol}, this node ${this.self.protocol}`;
    this.blame(member, 'protocol', detail);
  }

  // Only while no tracker answers: one member, chosen by chance, is asked whom it knows.
  async #exchange(): Promise<void> {
    if (this.#closed || this.#clients.some(({ connected }) => connected)) return;
    const others = this.membersForPeers().filter(
      (member) => member.id !== this.self.id && this.#understands(member),
    );
    const other = others[Math.floor(this.#deps.random.next() * others.length)];
    if (other === undefined) return;
    try {
      for (const member of await this.#deps.askPeerForMembers(other)) this.learn(member);
    } catch (error) {
      this.blame(other, 'unreachable', `asked for its members: ${reasonOf(error)}`);
    }
  }
}
