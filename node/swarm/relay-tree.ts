// Who gets an object from whom: a tree of relays with the owner as its root. Where a member was is
// known for as long as it takes part; that its source is busy with it, only while it says so.
import type { Clock } from '../platform/clock.ts';
import { ROOT } from './handout.ts';

/** A member in the tree; `Participant` tells what the fields are. */
export interface Seat {
  readonly parent: string | undefined;
  readonly children: number;
  readonly given: number;
}

interface OwnSeat {
  parent: string | undefined;
  children: number;
  given: number;
  /** Until then its parent is taken to be busy with it; 0: it is not. */
  leaseUntilMs: number;
}

export class RelayTree {
  readonly #clock: Clock;
  readonly #seats = new Map<string, OwnSeat>();
  #rootGiven = 0;

  constructor(deps: { readonly clock: Clock }) {
    this.#clock = deps.clock;
  }

  /** Members that the root was ever made to serve. */
  get rootGiven(): number {
    return this.#rootGiven;
  }

  /** The member's seat; a new one gets bytes from nobody. */
  enter(id: string): Seat {
    const known = this.#seats.get(id);
    if (known) return known;
    const seat = { parent: undefined, children: 0, given: 0, leaseUntilMs: 0 };
    this.#seats.set(id, seat);
    return seat;
  }

  /** `source` (a member or ROOT) is taken to serve `id` for the next `leaseMs`. */
  assign(id: string, source: string, leaseMs: number): void {
    const seat = this.#seats.get(id);
    if (!seat) return;
    this.#release(seat);
    seat.parent = source;
    seat.leaseUntilMs = this.#clock.monotonicMs() + leaseMs;
    const parent = this.#seats.get(source);
    if (parent) parent.children++;
  }

  /** Counts that `source` was given another member to serve. */
  countGiven(source: string): void {
    const seat = this.#seats.get(source);
    if (seat) seat.given++;
    else if (source === ROOT) this.#rootGiven++;
  }

  /** `id` still gets bytes from its parent. */
  renew(id: string, leaseMs: number): void {
    const parent = this.#seats.get(id)?.parent;
    if (parent !== undefined) this.assign(id, parent, leaseMs);
  }

  /** It gets nothing from its parent any more; where it was in the tree stays known. */
  leave(id: string): void {
    const seat = this.#seats.get(id);
    if (seat) this.#release(seat);
  }

  /** It depends on nobody any more. */
  detach(id: string): void {
    const seat = this.#seats.get(id);
    if (!seat) return;
    this.#release(seat);
    seat.parent = undefined;
  }

  remove(id: string): void {
    this.leave(id);
    this.#seats.delete(id);
    for (const other of this.#seats.values()) if (other.parent === id) other.parent = undefined;
  }

  /** Whoever was not heard of for the time of its lease leaves. */
  expireLeases(): void {
    const now = this.#clock.monotonicMs();
    for (const seat of this.#seats.values()) {
      if (seat.leaseUntilMs !== 0 && seat.leaseUntilMs < now) this.#release(seat);
    }
  }

  #release(seat: OwnSeat): void {
    if (seat.leaseUntilMs === 0) return;
    seat.leaseUntilMs = 0;
    const parent = seat.parent === undefined ? undefined : this.#seats.get(seat.parent);
    if (parent) parent.children--;
  }
}
