// The fleet port: who is here, and who owns what.
import type { Member } from '../../tracker/protocol.ts';

export type { Member };

/** Why a member is avoided for a while. */
export type Fault = 'unreachable' | 'stalled' | 'slow' | 'corrupt' | 'protocol';

export interface Blame {
  readonly member: string;
  readonly name: string;
  readonly fault: Fault;
  /** What happened, one line. */
  readonly detail: string;
  readonly atMs: number;
  /** Until then the member is avoided; what it owns is asked of others if it is gone or wrong. */
  readonly untilMs: number;
}

export interface RankOptions {
  readonly host?: string;
  readonly unbiased?: boolean;
  /** So many at most. */
  readonly limit?: number;
}

export interface Fleet {
  readonly self: Member;
  /**
   * Grows with the list; carried in requests so that a newer view wins. It is the tracker's own
   * number (the largest of several trackers'), so that it compares between members.
   */
  readonly view: number;
  /** True without a fleet key: no peers at all. */
  readonly solo: boolean;
  /** All members of the current view, this node included. */
  members(): readonly Member[];
  member(id: string): Member | undefined;
  /** Resolves when elections may begin: first list settled, or the deadline passed. */
  ready(): Promise<void>;
  /**
   * Members by rendezvous rank for `key`: the owner first, then its successors. Only members that
   * may go upstream and speak a protocol that this node speaks; for `host` only those that have it
   * in their apt sources, if any has. Members that are gone or wrong as far as this node knows come
   * last, unless `unbiased` (who *is* the owner, whatever I think of it). Who is only stalled or
   * slow keeps what it owns.
   */
  rank(key: string, options?: RankOptions): Member[];
  /** Adds a member heard of otherwise (peer exchange, an incoming request). */
  learn(member: Member): void;
  /** Also one that has left the list meanwhile. */
  blame(member: Pick<Member, 'id' | 'name'>, fault: Fault, detail: string): void;
  /** Without `busy` (default: with it): as long as it is only stalled or slow, it is not blamed. */
  blamed(id: string, options?: { busy?: boolean }): Blame | undefined;
  /** The latest, newest first. */
  blames(): readonly Blame[];
  onChange(fn: () => void): void;
  close(): Promise<void>;
}
