// Asking the owners before this node what a volatile name stands for: they may not have heard yet
// that this node has joined. Only after a start: later on a change of view brings a claim.
import { reasonOf } from '../errors.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import { type Clock, deadlineSignal, sleep } from '../platform/clock.ts';
import type { Peers } from '../transfer/peers.ts';
import type { KnownNames, Named } from './known-names.ts';

interface FormerOwnerDeps {
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly known: KnownNames;
  readonly clock: Clock;
}

interface FormerOwnerOptions {
  /** After a start it is asked for so long: what it knew by then holds no more. */
  readonly freshnessMs: number;
}

/** A node that has just started waits so long for what the owners before it know. */
const FORMER_OWNERS_MS = 3_000;
const ASK_AGAIN_MS = 100;
/** Where several started at one moment, the next in rank may know as little as this node. */
const RANKS_ASKED = 3;

export class FormerOwner {
  readonly #deps: FormerOwnerDeps;
  readonly #options: FormerOwnerOptions;
  /** Monotonic time since when this node knows for which names it is the owner. */
  #electsSinceMs: number | undefined;

  constructor(deps: FormerOwnerDeps, options: FormerOwnerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** `undefined`: nobody knows anything, or there is no such member. */
  async ask(url: string): Promise<Named | undefined> {
    const { fleet, peers, clock } = this.#deps;
    await fleet.ready();
    this.#electsSinceMs ??= clock.monotonicMs();
    if (!peers || clock.monotonicMs() - this.#electsSinceMs >= this.#options.freshnessMs) return;
    const { host } = new URL(url);
    const [owner, ...formers] = fleet.rank(url, { host, unbiased: true, limit: RANKS_ASKED });
    if (owner?.id !== fleet.self.id) return undefined;
    const signal = deadlineSignal(clock, FORMER_OWNERS_MS);
    for (const former of formers) {
      if (fleet.blamed(former.id, { busy: false })) continue;
      const told = await this.#askMember(url, former, peers, signal);
      if (told) return told;
    }
    return undefined;
  }

  async #askMember(
    url: string,
    former: Member,
    peers: Peers,
    signal: AbortSignal,
  ): Promise<Named | undefined> {
    const { fleet, known, clock } = this.#deps;
    const query = { url, noCache: false, view: fleet.view, onlyKnown: true };
    let waits = false;
    try {
      while (!signal.aborted) {
        const answer = await peers.name(former, query, { signal });
        if (answer.kind === 'resolved') return known.adopt(url, former, answer);
        if (answer.kind === 'failed' || answer.kind === 'unknown') return undefined;
        // It is on its way there: what is not whole yet cannot be handed on under one key.
        waits = true;
        await sleep(clock, ASK_AGAIN_MS);
      }
    } catch (error) {
      // That it waits for upstream itself is no fault.
      if (waits && signal.aborted) return undefined;
      fleet.blame(former, 'unreachable', `${reasonOf(error)} (asked what it knew of ${url})`);
    }
    return undefined;
  }
}
