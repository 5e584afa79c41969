// A member wants an object: decides where it gets the bytes from, and fetches them where nobody has
// any.

import type { Flights } from '../fetch/flights.ts';
import { letGo, type Supply } from '../fetch/supply.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import type { LinkRates } from '../links/link-rates.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Trace } from '../metrics/ways.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { Store } from '../store/store.ts';
import type { Swarm, Swarms } from '../swarm/swarm.ts';
import type { Progress, ProgressAnswer, Want } from '../transfer/peers.ts';
import type { Supplies } from './supplies.ts';

/** A flight that has no source after this time is taken for one that will need upstream. */
const SOURCED_MS = 300;

interface WantsDeps {
  readonly clock: Clock;
  readonly fleet: Fleet;
  readonly store: Store;
  readonly flights: Flights;
  readonly swarms: Swarms;
  readonly links: LinkRates;
  readonly counters: Counters;
  readonly supplies: Supplies;
}

export type WantVerdict =
  | { readonly kind: 'supply'; readonly supply: Supply; served(complete: boolean): void }
  | { readonly kind: 'elsewhere'; readonly source: Member }
  | { readonly kind: 'redirect'; readonly owner: Member }
  | { readonly kind: 'passed' };

export class Wants {
  readonly #deps: WantsDeps;

  constructor(deps: WantsDeps) {
    this.#deps = deps;
  }

  /** A supply is the caller's to let go of; `served` is to be called afterwards. */
  async want(want: Want, trace?: Trace): Promise<WantVerdict> {
    const { fleet, swarms, counters } = this.#deps;
    fleet.learn(want.member);
    if (this.#passesOn(want)) return { kind: 'passed' };
    const redirect = this.#redirect(want);
    if (redirect) return { kind: 'redirect', owner: redirect };
    const swarm = swarms.of(want.digest, want.size);
    swarm.join(want.member, want.have, want.narrow);
    const exclude = new Set([...want.exclude, ...want.failed]);
    for (const id of want.failed) swarm.drop(id);
    const supply = await this.#supply(want, trace);
    const direct = want.direct === true && !exclude.has(fleet.self.id);
    const wanNarrow = !direct && !swarm.small && (await this.#fedByUpstream(supply));
    const source = direct ? undefined : swarm.place(want.member.id, exclude, wanNarrow);
    if (source) {
      letGo(supply);
      counters.add('swarm.handovers');
      return { kind: 'elsewhere', source };
    }
    swarm.placeAtRoot(want.member.id);
    swarm.rootChildren++;
    return { kind: 'supply', supply, served: (complete) => this.#served(swarm, want, complete) };
  }

  /** How the bytes come in at a member; answers when another source would be better. */
  progress({ digest, member, have, idle, narrow }: Progress): ProgressAnswer {
    const { swarms, flights, store } = this.#deps;
    const starved =
      idle === true && (store.stat(digest) !== undefined || flights.pieces(digest) > have);
    const swarm = swarms.get(digest);
    const move = swarm?.progress(member, have, flights.front(digest), { starved, narrow });
    return move === undefined ? {} : { move };
  }

  /**
   * An owner with a narrow link lets the next in rank fetch, also what it is fetching by now: all
   * others would wait for it. Whoever stands in for somebody goes on.
   */
  #passesOn({ digest, failed }: Want): boolean {
    const { links, store, flights } = this.#deps;
    if (!links.narrow || failed.length > 0) return false;
    // What it has, or will have in a moment, it gives.
    return store.stat(digest) === undefined && !flights.leads(digest);
  }

  /** Who asks the wrong one, and has not found the owner gone, is told who the owner is. */
  #redirect(want: Want): Member | undefined {
    const { fleet, store, flights } = this.#deps;
    if (want.direct || store.stat(want.digest) || flights.has(want.digest)) return undefined;
    const host = new URL(want.url).host;
    const [owner] = fleet.rank(want.digest, { host, unbiased: true, limit: 1 });
    if (!owner || owner.id === fleet.self.id || owner.id === want.member.id) return undefined;
    const gone = want.failed.includes(owner.id) || fleet.blamed(owner.id, { busy: false });
    // An older view than the asker's may name somebody who is not the owner any more.
    return gone || want.view > fleet.view ? undefined : owner;
  }

  async #supply(want: Want, trace: Trace | undefined): Promise<Supply> {
    const { flights, supplies } = this.#deps;
    const { digest, size, url } = want;
    const stored = await supplies.stored(digest);
    if (stored) return stored;
    const order = { digest, url, trace, ...(size === undefined ? {} : { size }) };
    const boarding = await flights.board(order, {
      takeover: want.failed.length > 0,
      unable: want.unable,
    });
    return { kind: 'flight', boarding };
  }

  /** Whether the WAN sets the pace. A flight that has only begun may yet find a holder. */
  async #fedByUpstream(supply: Supply): Promise<boolean> {
    if (supply.kind === 'stored') return false;
    const { feeder } = supply.boarding;
    const known = feeder.sourced().then(() => feeder.lastKind === 'upstream');
    return await withDeadline(this.#deps.clock, known, SOURCED_MS, true);
  }

  #served(swarm: Swarm, want: Want, complete: boolean): void {
    swarm.rootChildren--;
    if (complete) swarm.finished(want.member.id);
  }
}
