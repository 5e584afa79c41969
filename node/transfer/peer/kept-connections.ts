// Connections to the other members, made before they are needed: a small object is then one round
// trip away, and a rollout does not begin with a handshake of each member with each owner.
import type { Fleet, Member } from '../../fleet/fleet.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import type { PeerAddress } from '../peers.ts';

interface KeptConnectionsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly fleet: Pick<Fleet, 'self' | 'rank' | 'blamed' | 'onChange'>;
  readonly peers: {
    /** Connections to others are closed when they are not used for a while. */
    keep(peers: readonly PeerAddress[]): void;
    connected(peer: PeerAddress): boolean;
    /** Leaves a connection behind, if it can. Never rejects. */
    greet(peer: PeerAddress): Promise<void>;
  };
}

interface KeptConnectionsOptions {
  /** Files and sockets that the process may have open: of eight, one is for these. */
  readonly openFilesMax: number;
}

/** Each takes memory on both sides: in larger fleets only some members are kept. */
const KEPT_MAX = 64;
/** After the members changed, for that long and once more at random: others come and go as well. */
const SETTLE_MS = 1_000;
/** Between two handshakes. */
const PACE_MS = 100;
/** Those that are gone are tried again. */
const AGAIN_MS = 60_000;

export class KeptConnections {
  readonly #deps: KeptConnectionsDeps;
  readonly #max: number;
  #missing: Member[] = [];
  #timer: Timer | undefined;
  /** The members changed, and the next round will see it. */
  #due = false;
  #closed = false;

  constructor(deps: KeptConnectionsDeps, { openFilesMax }: KeptConnectionsOptions) {
    this.#deps = deps;
    this.#max = Math.min(KEPT_MAX, Math.floor(openFilesMax / 8));
    deps.fleet.onChange(() => this.#soon());
    this.#soon();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #soon(): void {
    if (this.#due) return;
    this.#due = true;
    this.#after(SETTLE_MS * (1 + this.#deps.random.next()), this.#begin);
  }

  readonly #begin = (): void => {
    const { fleet, peers, random } = this.#deps;
    this.#due = false;
    const others = fleet
      .rank(fleet.self.id, { unbiased: true, limit: this.#max + 1 })
      .filter(({ id }) => id !== fleet.self.id)
      .slice(0, this.#max);
    peers.keep(others);
    // At random, or all who hear of a newcomer at one moment would go to the same one.
    this.#missing = others
      .filter((each) => !peers.connected(each) && fleet.blamed(each.id) === undefined)
      .map((member) => ({ member, at: random.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ member }) => member);
    this.#next();
  };

  readonly #next = (): void => {
    const member = this.#missing.pop();
    if (member) void this.#deps.peers.greet(member);
    if (member) this.#after(PACE_MS, this.#next);
    else this.#after(AGAIN_MS, this.#begin);
  };

  #after(delayMs: number, fn: () => void): void {
    this.#timer?.cancel();
    if (!this.#closed) this.#timer = this.#deps.clock.after(delayMs, fn);
  }
}
