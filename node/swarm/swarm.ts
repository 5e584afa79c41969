// What the owner of an object remembers of those who want it. Lost with the owner: a successor
// learns it anew from those who ask.

import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import { MiB, pieceCount, SMALL_BYTES } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import { Accusations } from './accusations.ts';
import { chooseSource, type FanOut, type Participant, ROOT } from './handout.ts';
import { isFarBehind } from './lags.ts';
import { RelayTree, type Seat } from './relay-tree.ts';
import { Stragglers } from './stragglers.ts';

/** The owner gives so much at once: to send a member elsewhere costs more than a small copy. */
const SMALL_ROUND_BYTES = MiB;
const fanOuts = {
  small: { root: 4, relay: 4, rootFirst: true },
  /** The WAN is the narrow place: a relay's uplink has room for more than one copy. */
  cold: { root: 2, relay: 2, rootFirst: false },
  /** The uplinks are the narrow place. */
  warm: { root: 1, relay: 1, rootFirst: false },
} as const satisfies Record<string, FanOut>;

/** A member is moved to another source at most this often. */
const MOVE_EVERY_MS = 4_000;
const SWARMS_MAX = 2_000;

/** What a member has of the object, beside where it is in the tree and how it gets on. */
class Place implements Participant {
  readonly id: string;
  readonly member: Member;
  readonly #seat: Seat;
  readonly #stragglers: Stragglers;
  have: number;
  whole = false;
  /** It fetches from upstream itself (an owner of an earlier view). */
  leads = false;
  movedAtMs = 0;

  constructor(member: Member, have: number, seat: Seat, stragglers: Stragglers) {
    this.id = member.id;
    this.member = member;
    this.have = have;
    this.#seat = seat;
    this.#stragglers = stragglers;
  }

  get parent(): string | undefined {
    return this.#seat.parent;
  }

  get children(): number {
    return this.#seat.children;
  }

  get given(): number {
    return this.#seat.given;
  }

  get lagging(): boolean {
    return this.#stragglers.has(this.id);
  }
}

export class Swarm {
  readonly digest: Digest;
  readonly #clock: Clock;
  readonly #places = new Map<string, Place>();
  readonly #tree: RelayTree;
  readonly #stragglers: Stragglers;
  readonly #accusations = new Accusations();
  size: number | undefined;
  /** Streams that this node itself gives of the object. */
  rootChildren = 0;

  constructor(digest: Digest, size: number | undefined, clock: Clock) {
    this.digest = digest;
    this.size = size;
    this.#clock = clock;
    this.#tree = new RelayTree({ clock });
    this.#stragglers = new Stragglers({ clock });
  }

  /** Notes that `member` wants the object and has `have` pieces of it; `narrow`: its link is. */
  join(member: Member, have: number, narrow = false): void {
    const { id } = member;
    this.#stragglers.narrow.note(id, narrow);
    const known = this.#places.get(id);
    if (known) {
      this.#tree.leave(id);
      this.#accusations.forget(id);
      this.#stragglers.lags.askedAgain(id);
      known.have = have;
      known.whole = false;
      return;
    }
    this.#places.set(id, new Place(member, have, this.#tree.enter(id), this.#stragglers));
  }

  /**
   * Where `asker` shall get the bytes: a member, or `undefined` for this node itself. `exclude`:
   * those who failed the asker.
   */
  place(asker: string, exclude: ReadonlySet<string>, fedByUpstream: boolean): Member | undefined {
    this.#tree.expireLeases();
    for (const id of exclude) if (this.#places.has(id)) this.#accusations.accuse(id, asker);
    const source = chooseSource({
      asker,
      exclude: new Set([...exclude, ...this.#accusations.shunned()]),
      participants: this.#places,
      rootChildren: this.rootChildren,
      rootGiven: this.#tree.rootGiven,
      fanOut: this.#fanOut(fedByUpstream),
    });
    this.#tree.assign(asker, source, this.#leaseMs());
    const place = this.#places.get(source);
    if (place) this.#tree.countGiven(source);
    return place?.member;
  }

  /** `id` gets its bytes from this node. */
  placeAtRoot(id: string): void {
    this.#tree.assign(id, ROOT, this.#leaseMs());
    this.#tree.countGiven(ROOT);
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
    const grew = have > place.have;
    place.have = have;
    this.#stragglers.narrow.note(id, narrow);
    this.#accusations.forget(id);
    this.#tree.renew(id, this.#leaseMs());
    if (this.size !== undefined && have >= pieceCount(this.size)) this.finished(id);
    const parent = place.parent === undefined ? undefined : this.#places.get(place.parent);
    const could = this.#couldHave(place, parent, front);
    const waited = this.#stragglers.lags.report(id, { have, could, grew });
    if (!parent || !(starved || waited || parent.lagging)) return undefined;
    const now = this.#clock.monotonicMs();
    if (now - place.movedAtMs < MOVE_EVERY_MS) return undefined;
    place.movedAtMs = now;
    // To one with a narrow link every source seems slow.
    return !narrow && !parent.lagging && this.#isSlow(parent, place) ? 'slow' : 'behind';
  }

  /** Whether it is the parent that is slow. */
  #isSlow(parent: Place, child: Place): boolean {
    if (parent.whole) return false;
    return this.#stragglers.slow.accuse(parent.id, child.id, this.#givesMore(parent, child));
  }

  /** Whether another child of the same parent is clearly ahead. */
  #givesMore(parent: Place, child: Place): boolean {
    for (const other of this.#places.values()) {
      if (other.parent === parent.id && isFarBehind(child.have, other.have)) return true;
    }
    return false;
  }

  /** Pieces that a member could have by now: a stored object, all there at once, says nothing. */
  #couldHave(place: Place, parent: Place | undefined, front: number | undefined): number {
    // Who was behind before its source had all is still behind.
    if (parent?.whole) {
      return this.#stragglers.lags.wasHeldUp(place.id) ? pieceCount(this.size ?? 0) : 0;
    }
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
    this.#stragglers.lags.forget(id);
    this.#tree.detach(id);
  }

  drop(id: string): void {
    this.#places.delete(id);
    this.#tree.remove(id);
    this.#stragglers.forget(id);
    this.#accusations.forget(id);
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
