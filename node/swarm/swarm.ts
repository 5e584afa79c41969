// What the owner of an object remembers of those who want it. Lost with the owner: a successor
// learns it anew from those who ask.

import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import { MiB, PIECE_BYTES, pieceCount, SMALL_BYTES } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import { chooseSource, type FanOut, type Participant, ROOT } from './handout.ts';

/** The owner gives so much at once: to send a member elsewhere costs more than a small copy. */
const SMALL_ROUND_BYTES = MiB;
const fanOuts = {
  small: { root: 4, relay: 4, rootFirst: true },
  /** The WAN is the narrow place: a relay's uplink has room for more than one copy. */
  cold: { root: 2, relay: 2, rootFirst: false },
  /** The uplinks are the narrow place. */
  warm: { root: 1, relay: 1, rootFirst: false },
} as const satisfies Record<string, FanOut>;

/** Behind the front by this much, a relay holds up those behind it. */
const LAG_PIECES = Math.ceil((3 * MiB) / PIECE_BYTES);
/** Behind its source in so many reports in a row, a member is held up by it, or slow itself. */
const LAG_REPORTS = 3;
/** The same for one that gets nothing: its source may have no CPU for a moment. */
const STILL_REPORTS = 6;
/** A member is moved to another source at most this often. */
const MOVE_EVERY_MS = 4_000;
/** So long after a member said that its link is narrow it gets no children. */
const NARROW_MS = 60_000;
/** Who failed so many is offered to no others: it may be gone, and the fleet not know it yet. */
const ACCUSERS = 2;
const SWARMS_MAX = 2_000;

interface Place extends Participant {
  readonly member: Member;
  /** Members that it failed as a source since it was last heard of. */
  readonly accusers: Set<string>;
  have: number;
  whole: boolean;
  /** It fetches from upstream itself (an owner of an earlier view). */
  leads: boolean;
  parent: string | undefined;
  children: number;
  given: number;
  /** It has less than it could have by now. */
  behind: boolean;
  /** Reports in a row in which it was behind. */
  lags: number;
  /** It was moved because it was behind its source. */
  heldUp: boolean;
  /** The first member that was moved away because it was behind this one. */
  heldUpFirst: string | undefined;
  /** It held up two members. */
  slow: boolean;
  /** Until then its link is taken to carry far less than most others'. */
  narrowUntilMs: number;
  /** Until then its parent is taken to be busy with it. */
  leaseUntilMs: number;
  movedAtMs: number;
}

export class Swarm {
  readonly digest: Digest;
  readonly #clock: Clock;
  readonly #places = new Map<string, Place>();
  size: number | undefined;
  /** Streams that this node itself gives of the object. */
  rootChildren = 0;
  #rootGiven = 0;

  constructor(digest: Digest, size: number | undefined, clock: Clock) {
    this.digest = digest;
    this.size = size;
    this.#clock = clock;
  }

  /** Notes that `member` wants the object and has `have` pieces of it; `narrow`: its link is. */
  join(member: Member, have: number, narrow = false): void {
    const narrowUntilMs = this.#narrowUntilMs(narrow);
    const known = this.#places.get(member.id);
    if (known) {
      this.#leave(known);
      known.have = have;
      known.narrowUntilMs = narrowUntilMs;
      known.whole = false;
      known.accusers.clear();
      known.lags = 0;
      return;
    }
    const clock = this.#clock;
    this.#places.set(member.id, {
      id: member.id,
      member,
      have,
      whole: false,
      leads: false,
      parent: undefined,
      children: 0,
      given: 0,
      accusers: new Set(),
      behind: false,
      get lagging(): boolean {
        return this.behind || this.slow || this.narrowUntilMs > clock.monotonicMs();
      },
      lags: 0,
      heldUp: false,
      heldUpFirst: undefined,
      slow: false,
      narrowUntilMs,
      leaseUntilMs: 0,
      movedAtMs: 0,
    });
  }

  /**
   * Where `asker` shall get the bytes: a member, or `undefined` for this node itself. `exclude`:
   * those who failed the asker.
   */
  place(asker: string, exclude: ReadonlySet<string>, fedByUpstream: boolean): Member | undefined {
    this.#expireLeases();
    for (const id of exclude) this.#places.get(id)?.accusers.add(asker);
    const source = chooseSource({
      asker,
      exclude: new Set([...exclude, ...this.#shunned()]),
      participants: this.#places,
      rootChildren: this.rootChildren,
      rootGiven: this.#rootGiven,
      fanOut: this.#fanOut(fedByUpstream),
    });
    this.#assign(asker, source);
    const place = this.#places.get(source);
    if (place) place.given++;
    return place?.member;
  }

  *#shunned(): Iterable<string> {
    for (const { id, accusers } of this.#places.values()) if (accusers.size >= ACCUSERS) yield id;
  }

  /** `id` gets its bytes from this node. */
  placeAtRoot(id: string): void {
    this.#assign(id, ROOT);
    this.#rootGiven++;
  }

  /**
   * What `id` has now; `front`: what this node has, when upstream gives it the pace. Answers why
   * it should ask for another source, if it should. `starved`: it gets nothing, there is more, and
   * its own link has room; `narrow`: that link is.
   */
  progress(
    id: string,
    have: number,
    front: number | undefined,
    { starved = false, narrow = false }: { starved?: boolean; narrow?: boolean | undefined } = {},
  ): 'slow' | 'behind' | undefined {
    const place = this.#places.get(id);
    if (!place) return undefined;
    const now = this.#clock.monotonicMs();
    const patience = have > place.have ? LAG_REPORTS : STILL_REPORTS;
    place.have = have;
    place.narrowUntilMs = this.#narrowUntilMs(narrow);
    place.accusers.clear();
    if (place.parent !== undefined) this.#assign(id, place.parent);
    if (this.size !== undefined && have >= pieceCount(this.size)) this.finished(id);
    const parent = place.parent === undefined ? undefined : this.#places.get(place.parent);
    place.behind = this.#pace(place, parent, front) - have > LAG_PIECES;
    place.lags = place.behind ? place.lags + 1 : 0;
    if (!parent || !(starved || place.lags >= patience || parent.lagging)) return undefined;
    if (now - place.movedAtMs < MOVE_EVERY_MS) return undefined;
    place.movedAtMs = now;
    // To one with a narrow link every source seems slow.
    return !narrow && !parent.lagging && this.#isSlow(parent, place) ? 'slow' : 'behind';
  }

  /**
   * Whether it is the parent that is slow. One member behind its source may be slow itself, as
   * anybody is for a moment on a busy machine; two who never lagged elsewhere are witnesses.
   */
  #isSlow(parent: Place, child: Place): boolean {
    if (parent.whole) return false;
    const before = child.heldUp;
    child.heldUp = true;
    if (before || this.#givesMore(parent, child)) return false;
    parent.heldUpFirst ??= child.id;
    if (parent.heldUpFirst === child.id) return false;
    parent.slow = true;
    return true;
  }

  /** Whether another child of the same parent is clearly ahead. */
  #givesMore(parent: Place, child: Place): boolean {
    for (const other of this.#places.values()) {
      if (other.parent === parent.id && other.have - child.have > LAG_PIECES) return true;
    }
    return false;
  }

  /** Pieces that a member could have by now: a stored object, all there at once, says nothing. */
  #pace(place: Place, parent: Place | undefined, front: number | undefined): number {
    // Who was behind before its source had all is still behind.
    if (parent?.whole) return place.lags > 0 ? pieceCount(this.size ?? 0) : 0;
    if (parent) return parent.have;
    if (front !== undefined) return front;
    let best = 0;
    for (const { have, whole } of this.#places.values()) if (!whole) best = Math.max(best, have);
    return best;
  }

  /** `id` has the whole object. */
  finished(id: string): void {
    const place = this.#places.get(id);
    if (!place) return;
    place.whole = true;
    place.behind = false;
    this.#leave(place);
    // It depends on nobody any more.
    place.parent = undefined;
  }

  drop(id: string): void {
    const place = this.#places.get(id);
    if (!place) return;
    this.#leave(place);
    this.#places.delete(id);
    for (const other of this.#places.values()) if (other.parent === id) other.parent = undefined;
  }

  /** Notes a member that is fetching the object from upstream itself. */
  noteLeader(member: Member, have: number): void {
    this.join(member, have);
    const place = this.#places.get(member.id);
    if (place) place.leads = true;
  }

  leader(): Member | undefined {
    for (const place of this.#places.values()) if (place.leads) return place.member;
    return undefined;
  }

  /** Members with more than `have` pieces, the one with most first; `whole` for all of them. */
  ahead(have: number): { member: Member; have: number; whole: boolean }[] {
    return [...this.#places.values()]
      .filter((place) => place.whole || place.have > have)
      .sort((a, b) => Number(b.whole) - Number(a.whole) || b.have - a.have);
  }

  /** Handed to several at once, whoever gives it. */
  get small(): boolean {
    return (this.size ?? 0) <= SMALL_BYTES;
  }

  get members(): number {
    return this.#places.size;
  }

  #narrowUntilMs(narrow: boolean): number {
    return narrow ? this.#clock.monotonicMs() + NARROW_MS : 0;
  }

  #assign(id: string, source: string): void {
    const place = this.#places.get(id);
    if (!place) return;
    this.#leave(place);
    place.parent = source;
    place.leaseUntilMs = this.#clock.monotonicMs() + this.#leaseMs();
    const parent = this.#places.get(source);
    if (parent) parent.children++;
  }

  /** It gets nothing from its parent any more; where it was in the tree stays known. */
  #leave(place: Place): void {
    if (place.leaseUntilMs === 0) return;
    place.leaseUntilMs = 0;
    const parent = place.parent === undefined ? undefined : this.#places.get(place.parent);
    if (parent) parent.children--;
  }

  #expireLeases(): void {
    const now = this.#clock.monotonicMs();
    for (const place of this.#places.values()) {
      if (place.leaseUntilMs !== 0 && place.leaseUntilMs < now) this.#leave(place);
    }
  }

  #leaseMs(): number {
    const size = this.size ?? SMALL_BYTES;
    return size <= SMALL_BYTES ? 5_000 : 15_000;
  }

  #fanOut(fedByUpstream: boolean): FanOut {
    if (this.small) {
      const { small } = fanOuts;
      const atOnce = Math.floor(SMALL_ROUND_BYTES / (this.size ?? SMALL_BYTES));
      return { ...small, root: Math.max(small.root, atOnce) };
    }
    return fedByUpstream ? fanOuts.cold : fanOuts.warm;
  }
}

/** The swarms of the objects that this node was asked about, the latest ones. */
export class Swarms {
  readonly #clock: Clock;
  readonly #swarms = new Map<Digest, Swarm>();

  constructor(deps: { clock: Clock }) {
    this.#clock = deps.clock;
  }

  get(digest: Digest): Swarm | undefined {
    return this.#swarms.get(digest);
  }

  of(digest: Digest, size: number | undefined): Swarm {
    const known = this.#swarms.get(digest);
    this.#swarms.delete(digest);
    const swarm = known ?? new Swarm(digest, size, this.#clock);
    swarm.size ??= size;
    this.#swarms.set(digest, swarm);
    for (const [oldest] of this.#swarms) {
      if (this.#swarms.size <= SWARMS_MAX) break;
      this.#swarms.delete(oldest);
    }
    return swarm;
  }

  /** What the members have of it turned out to be wrong. */
  forget(digest: Digest): void {
    this.#swarms.delete(digest);
  }

  /** A member left the fleet: nobody is sent to it any more. */
  drop(id: string): void {
    for (const swarm of this.#swarms.values()) swarm.drop(id);
  }
}
