// What this node does for other members: as the owner of an object, and as one who has it.
import type { Digest } from '../content/digest.ts';
import type { Boarding, Flights } from '../fetch/flights.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import { isSmall } from '../limits.ts';
import type { LinkRates } from '../links/link-rates.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Names } from '../names/names.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import { checkedObject } from '../store/checked-object.ts';
import type { ObjectReader, Store } from '../store/store.ts';
import type { Swarm, Swarms } from '../swarm/swarm.ts';
import type {
  Claim,
  ClaimedName,
  ClaimedObject,
  NameAnswer,
  PeerAddress,
  Peers,
  Progress,
  ProgressAnswer,
  Want,
} from '../transfer/peers.ts';

/** A flight that has no source after this time is taken for one that will need upstream. */
const SOURCED_MS = 300;

interface OwnerDeps {
  readonly clock: Clock;
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly store: Store;
  readonly flights: Flights;
  readonly names: Names;
  readonly swarms: Swarms;
  readonly links: LinkRates;
  readonly counters: Counters;
}

/** An object, whole or coming in, opened for a peer. */
export type Supply =
  | { readonly kind: 'stored'; readonly object: ObjectReader }
  | { readonly kind: 'flight'; readonly boarding: Boarding };

export type WantVerdict =
  | { readonly kind: 'supply'; readonly supply: Supply; served(complete: boolean): void }
  | { readonly kind: 'elsewhere'; readonly source: Member }
  | { readonly kind: 'redirect'; readonly owner: Member }
  | { readonly kind: 'passed' };

export class Owner {
  readonly #deps: OwnerDeps;
  #view = -1;
  #members: readonly Member[] = [];

  constructor(deps: OwnerDeps) {
    this.#deps = deps;
    deps.fleet.onChange(() => this.#viewChanged());
  }

  /** Decides where a member gets an object from; fetches it if nobody has it. */
  async want(want: Want): Promise<WantVerdict> {
    const { fleet, swarms, counters } = this.#deps;
    fleet.learn(want.member);
    if (this.#passesOn(want)) return { kind: 'passed' };
    const redirect = this.#redirect(want);
    if (redirect) return { kind: 'redirect', owner: redirect };
    const swarm = swarms.of(want.digest, want.size);
    swarm.join(want.member, want.have, want.narrow);
    const exclude = new Set([...want.exclude, ...want.failed]);
    for (const id of want.failed) swarm.drop(id);
    const supply = await this.#supply(want);
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

  /** What this node has under `key` (a digest, or the name of a flight), for whoever asks. */
  async object(key: string): Promise<Supply | undefined> {
    const boarding = await this.#deps.flights.join(key);
    if (boarding) return { kind: 'flight', boarding };
    const object = await this.#deps.store.open(key as Digest);
    return object && { kind: 'stored', object: checkedObject(this.#deps.store, object) };
  }

  /** The object that a name stands for, to go with the answer to a member that `has` others. */
  async enclosure(answer: NameAnswer, has: readonly Digest[]): Promise<Supply | undefined> {
    if (answer.kind !== 'resolved') return undefined;
    const { digest, size } = answer.resolution;
    if (digest === undefined || !isSmall(size) || has.includes(digest)) return undefined;
    return await this.object(digest);
  }

  progress({ digest, member, have, idle, narrow }: Progress): ProgressAnswer {
    const { swarms, flights, store } = this.#deps;
    const starved =
      idle === true && (store.stat(digest) !== undefined || flights.pieces(digest) > have);
    const swarm = swarms.get(digest);
    const move = swarm?.progress(member, have, flights.front(digest), { starved, narrow });
    return move === undefined ? {} : { move };
  }

  /** A former owner tells what it is still fetching, and what it asked for a moment ago. */
  claim({ member, objects, names }: Claim): void {
    for (const { digest, size, have } of objects) {
      this.#deps.swarms.of(digest, size).noteLeader(member, have);
    }
    for (const name of names) this.#deps.names.claim(member, name);
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

  async #supply(want: Want): Promise<Supply> {
    const { store, flights } = this.#deps;
    const { digest, size, url } = want;
    let object = await store.open(digest);
    // Its flight may have landed while the store was asked: that is no reason for another one.
    if (!object && store.stat(digest)) object = await store.open(digest);
    if (object) return { kind: 'stored', object: checkedObject(store, object) };
    const order = { digest, url, ...(size === undefined ? {} : { size }) };
    const boarding = await flights.board(order, {
      takeover: want.failed.length > 0,
      unable: want.unable,
    });
    return { kind: 'flight', boarding };
  }

  /** Whether the WAN sets the pace. A flight that has only begun may yet find a holder. */
  async #fedByUpstream(supply: Supply): Promise<boolean> {
    const feeder = supply.kind === 'flight' ? supply.boarding.feeder : undefined;
    if (!feeder) return false;
    const known = feeder.sourced().then(() => feeder.sourceKind === 'upstream');
    return await withDeadline(this.#deps.clock, known, SOURCED_MS, true);
  }

  #served(swarm: Swarm, want: Want, complete: boolean): void {
    swarm.rootChildren--;
    if (complete) swarm.finished(want.member.id);
  }

  /** Flights and names of an older view: their owners of now must know of them. */
  #viewChanged(): void {
    const { fleet, flights, names, peers } = this.#deps;
    if (!peers || fleet.view === this.#view) return;
    this.#view = fleet.view;
    this.#forgetWhoLeft();
    const claims = new Map<
      string,
      { owner: Member; objects: ClaimedObject[]; names: ClaimedName[] }
    >();
    const claimOf = (key: string, url: string) => {
      const { host } = new URL(url);
      const [owner] = fleet.rank(key, { host, unbiased: true, limit: 1 });
      if (!owner || owner.id === fleet.self.id) return undefined;
      const claim = claims.get(owner.id) ?? { owner, objects: [], names: [] };
      claims.set(owner.id, claim);
      return claim;
    };
    for (const { digest, meta, pieces, url } of flights.led()) {
      if (digest === undefined) continue;
      const size = meta.size === undefined ? {} : { size: meta.size };
      claimOf(digest, url)?.objects.push({ digest, have: pieces, ...size });
    }
    for (const name of names.asked()) claimOf(name.url, name.url)?.names.push(name);
    for (const { owner, ...claim } of claims.values()) {
      void this.#tell(owner, { member: fleet.self, ...claim });
    }
  }

  /** Nobody is sent to a member that left. */
  #forgetWhoLeft(): void {
    const { fleet, swarms } = this.#deps;
    for (const { id } of this.#members) if (!fleet.member(id)) swarms.drop(id);
    this.#members = fleet.members();
  }

  async #tell(owner: PeerAddress, claim: Claim): Promise<void> {
    try {
      await this.#deps.peers?.claim(owner, claim, { signal: new AbortController().signal });
    } catch {
      // It costs a second fetch at worst, when that owner is asked before it asks the DHT.
    }
  }
}

export function letGo(supply: Supply): void {
  if (supply.kind === 'stored') void supply.object.close();
  else supply.boarding.leave();
}
