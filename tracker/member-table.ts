// The tracker's list of members: soft state, a pure function of announcements and time.
import { type Member, type MemberChange, sameMember, type Vitals } from './protocol.ts';

export interface MemberTableOptions {
  /** Names this start of the tracker. */
  readonly tracker: string;
  /**
   * The first view number. From the wall clock in ms, so that a restarted tracker's numbers are
   * larger than before (no tracker makes a thousand changes a second for long).
   */
  readonly firstView: number;
}

export interface TableEntry {
  readonly member: Member;
  readonly vitals: Vitals;
  readonly announcedAtMs: number;
}

interface Row extends TableEntry {
  expiresAtMs: number;
}

/** Members announce this often; slower in large fleets, so that the tracker stays idle. */
export function announceIntervalMs(members: number): number {
  return Math.min(30_000, Math.max(12_000, members * 30));
}

/** Missing two announcements and a half takes a member off the list. */
export function memberTtlMs(members: number): number {
  return 2.5 * announceIntervalMs(members);
}

/** How long a member whose connection closed may take to come back. */
export const SUSPECT_MS = 2500;

export class MemberTable {
  readonly #options: MemberTableOptions;
  readonly #rows = new Map<string, Row>();
  readonly #joined = new Map<string, Member>();
  readonly #left = new Set<string>();
  #view: number;

  constructor(options: MemberTableOptions) {
    this.#options = options;
    this.#view = options.firstView;
  }

  get size(): number {
    return this.#rows.size;
  }

  /** Notes an announcement. True when the list changes: the member is new, or differs. */
  announce(member: Member, vitals: Vitals, nowMs: number): boolean {
    const known = this.#rows.get(member.id);
    if (known !== undefined && known.member.epoch > member.epoch) return false;
    const changed = known === undefined || !sameMember(known.member, member);
    const kept = changed ? member : known.member;
    const expiresAtMs = nowMs + memberTtlMs(this.#rows.size);
    this.#rows.set(member.id, { member: kept, vitals, announcedAtMs: nowMs, expiresAtMs });
    if (changed) {
      this.#joined.set(member.id, member);
      this.#left.delete(member.id);
    }
    return changed;
  }

  /** The member's connection closed: it is dropped soon, unless it comes back. */
  suspect(id: string, nowMs: number): void {
    const row = this.#rows.get(id);
    if (row) row.expiresAtMs = Math.min(row.expiresAtMs, nowMs + SUSPECT_MS);
  }

  /** The member's connection is there again. */
  clear(id: string): void {
    const row = this.#rows.get(id);
    if (row) row.expiresAtMs = row.announcedAtMs + memberTtlMs(this.#rows.size);
  }

  /** Drops members whose time is over. True when the list changes. */
  expire(nowMs: number): boolean {
    let changed = false;
    for (const [id, row] of this.#rows) {
      if (row.expiresAtMs > nowMs) continue;
      this.#rows.delete(id);
      this.#joined.delete(id);
      this.#left.add(id);
      changed = true;
    }
    return changed;
  }

  /** All that changed since the last call as one change, or undefined. */
  takeChange(): MemberChange | undefined {
    if (this.#joined.size === 0 && this.#left.size === 0) return undefined;
    this.#view++;
    const change = this.#change(false, [...this.#joined.values()], [...this.#left]);
    this.#joined.clear();
    this.#left.clear();
    return change;
  }

  /** The list as it is; changes not yet taken are in it, under the view before them. */
  fullList(): MemberChange {
    return this.#change(
      true,
      Array.from(this.#rows.values(), (row) => row.member),
      [],
    );
  }

  /** Members with what they last said of themselves. */
  entries(): TableEntry[] {
    return [...this.#rows.values()];
  }

  #change(full: boolean, joined: Member[], left: string[]): MemberChange {
    return { tracker: this.#options.tracker, view: this.#view, full, joined, left };
  }
}
