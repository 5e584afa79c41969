// One list of members out of several trackers, what other nodes told, and the last run's list.
// Pure: time is an argument.
import { type Member, type MemberChange, sameMember } from '../../tracker/protocol.ts';

/** A tracker whose stream is open. */
interface LiveTracker {
  readonly tracker: string;
  view: number;
  readonly members: Map<string, Member>;
}

/** A member that no live tracker lists. */
interface Unlisted {
  readonly member: Member;
  readonly persisted: boolean;
  /** When it leaves; Infinity while no tracker can tell. */
  untilMs: number;
}

export interface MemberListOptions {
  readonly self: Member;
  /**
   * How long a member stays that was known, or heard of, and is not in the list of a live tracker:
   * long enough for all members to find a restarted tracker.
   */
  readonly graceMs: number;
}

export class MemberList {
  #self: Member;
  readonly #graceMs: number;
  readonly #live = new Map<string, LiveTracker>();
  readonly #unlisted = new Map<string, Unlisted>();
  #members: ReadonlyMap<string, Member>;
  #view = 0;

  constructor(options: MemberListOptions) {
    this.#self = options.self;
    this.#graceMs = options.graceMs;
    this.#members = new Map([[options.self.id, options.self]]);
  }

  get self(): Member {
    return this.#self;
  }

  /**
   * The largest view of the live trackers, so that it compares between nodes; without a live one,
   * or if a tracker's numbers are behind, it grows by one with each change. Never smaller again.
   */
  get view(): number {
    return this.#view;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }

  // Each of the following returns the ids of members that are new or changed, or undefined when
  // the list stays as it is.

  setSelf(self: Member): string[] | undefined {
    this.#self = self;
    return this.#merge();
  }

  /** The list of the last run: holds until a tracker knows better. */
  restore(members: readonly Member[]): string[] | undefined {
    for (const member of members) {
      this.#unlisted.set(member.id, { member, persisted: true, untilMs: Number.POSITIVE_INFINITY });
    }
    return this.#merge();
  }

  /** A member heard of from itself or from another node. */
  learn(member: Member, nowMs: number): string[] | undefined {
    const known = this.#members.get(member.id);
    if (member.id === this.#self.id || (known && known.epoch > member.epoch)) return undefined;
    for (const { members } of this.#live.values()) {
      const listed = members.get(member.id);
      if (listed && listed.epoch >= member.epoch) return undefined;
    }
    const untilMs = this.#live.size > 0 ? nowMs + this.#graceMs : Number.POSITIVE_INFINITY;
    this.#unlisted.set(member.id, { member, persisted: false, untilMs });
    return this.#merge();
  }

  /** A change from the tracker at `url`. */
  apply(url: string, change: MemberChange, nowMs: number): string[] | undefined {
    if (change.full) this.#replace(url, change, nowMs);
    else if (!this.#update(url, change)) return undefined;
    return this.#merge(change.view);
  }

  /** The stream of the tracker at `url` broke: its members stay, as long as nobody knows better. */
  down(url: string, nowMs: number): string[] | undefined {
    const gone = this.#live.get(url);
    if (gone === undefined) return undefined;
    this.#live.delete(url);
    this.#keep(gone.members.values(), nowMs);
    if (this.#live.size === 0) {
      for (const entry of this.#unlisted.values()) entry.untilMs = Number.POSITIVE_INFINITY;
    }
    return this.#merge();
  }

  /** Drops members whose grace is over. */
  sweep(nowMs: number): string[] | undefined {
    let dropped = false;
    for (const [id, { untilMs }] of this.#unlisted) {
      if (untilMs <= nowMs) dropped = this.#unlisted.delete(id);
    }
    return dropped ? this.#merge() : undefined;
  }

  #replace(url: string, change: MemberChange, nowMs: number): void {
    if (this.#live.size === 0) this.#putOnTrial(nowMs);
    const before = this.#live.get(url);
    const members = new Map(change.joined.map((member) => [member.id, member]));
    this.#live.set(url, { tracker: change.tracker, view: change.view, members });
    if (before) this.#keep(before.members.values(), nowMs);
  }

  // The first tracker is back. It has the word on the last run's list; whoever was here a moment
  // ago gets time to find the tracker.
  #putOnTrial(nowMs: number): void {
    for (const [id, entry] of this.#unlisted) {
      if (entry.persisted) this.#unlisted.delete(id);
      else entry.untilMs = nowMs + this.#graceMs;
    }
  }

  #keep(members: Iterable<Member>, nowMs: number): void {
    const untilMs = nowMs + this.#graceMs;
    for (const member of members) {
      const known = this.#unlisted.get(member.id);
      if (known && known.member.epoch > member.epoch) continue;
      this.#unlisted.set(member.id, { member, persisted: false, untilMs });
    }
  }

  #update(url: string, change: MemberChange): boolean {
    const source = this.#live.get(url);
    if (source === undefined || source.tracker !== change.tracker) return false;
    if (change.view <= source.view) return false;
    source.view = change.view;
    for (const member of change.joined) source.members.set(member.id, member);
    for (const id of change.left) {
      source.members.delete(id);
      this.#unlisted.delete(id);
    }
    return true;
  }

  #merge(trackerView = 0): string[] | undefined {
    const merged = new Map<string, Member>();
    const add = (member: Member) => {
      const other = merged.get(member.id);
      if (other === undefined || member.epoch > other.epoch) merged.set(member.id, member);
    };
    for (const { members } of this.#live.values()) for (const m of members.values()) add(m);
    for (const [id, { member }] of this.#unlisted) {
      const listed = merged.get(id);
      if (listed && listed.epoch >= member.epoch) this.#unlisted.delete(id);
      else add(member);
    }
    merged.set(this.#self.id, this.#self);
    const fresh = [...merged.values()].filter((member) => {
      const old = this.#members.get(member.id);
      return old === undefined || !sameMember(old, member);
    });
    const changed = fresh.length > 0 || merged.size !== this.#members.size;
    if (trackerView > this.#view) this.#view = trackerView;
    else if (changed && (trackerView > 0 || this.#live.size === 0)) this.#view++;
    if (!changed) return undefined;
    this.#members = merged;
    return fresh.map(({ id }) => id);
  }
}
