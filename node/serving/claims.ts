// What an owner knows is handed on when the member list makes another member the owner: told to the
// new one, and taken from the former one.

import type { Flights } from '../fetch/flights.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import type { Names } from '../names/names.ts';
import type { Swarms } from '../swarm/swarm.ts';
import type { Claim, ClaimedName, ClaimedObject, PeerAddress, Peers } from '../transfer/peers.ts';

interface ClaimsDeps {
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly flights: Flights;
  readonly names: Names;
  readonly swarms: Swarms;
}

export class Claims {
  readonly #deps: ClaimsDeps;
  #view = -1;
  #members: readonly Member[] = [];

  constructor(deps: ClaimsDeps) {
    this.#deps = deps;
    deps.fleet.onChange(() => this.#viewChanged());
  }

  /** A former owner tells what it is still fetching, and what it asked for a moment ago. */
  take({ member, objects, names }: Claim): void {
    for (const { digest, size, have } of objects) {
      this.#deps.swarms.of(digest, size).noteLeader(member, have);
    }
    for (const name of names) this.#deps.names.claim(member, name);
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
