// Asking the owner before this node what a volatile name stands for: it may not have heard yet
// that this node has joined. Only after a start: later on a change of view brings a claim.
import { reasonOf } from '../errors.ts';
import type { Fleet } from '../fleet/fleet.ts';
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

/** A node that has just started waits so long for what the owner before it knows. */
const FORMER_OWNER_MS = 3_000;
const ASK_AGAIN_MS = 100;

export class FormerOwner {
  readonly #deps: FormerOwnerDeps;
  readonly #options: FormerOwnerOptions;
  /** Monotonic time since when this node knows for which names it is the owner. */
  #electsSinceMs: number | undefined;

  constructor(deps: FormerOwnerDeps, options: FormerOwnerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** `undefined`: it knows nothing, or there is no such member. */
  async ask(url: string): Promise<Named | undefined> {
    const { fleet, peers, known, clock } = this.#deps;
    await fleet.ready();
    this.#electsSinceMs ??= clock.monotonicMs();
    const until = clock.monotonicMs() + FORMER_OWNER_MS;
    if (!peers || clock.monotonicMs() - this.#electsSinceMs >= this.#options.freshnessMs) return;
    const { host } = new URL(url);
    const [owner, former] = fleet.rank(url, { host, unbiased: true, limit: 2 });
    if (owner?.id !== fleet.self.id || !former || fleet.blamed(former.id)) return undefined;
    const query = { url, noCache: false, view: fleet.view, onlyKnown: true };
    const signal = deadlineSignal(clock, FORMER_OWNER_MS);
    try {
      while (clock.monotonicMs() < until) {
        const answer = await peers.name(former, query, signal);
        if (answer.kind === 'resolved') return await known.adopt(url, former, answer);
        if (answer.kind === 'failed' || answer.kind === 'unknown') return undefined;
        // It is on its way there: what is not whole yet cannot be handed on under one key.
        await sleep(clock, ASK_AGAIN_MS);
      }
    } catch (error) {
      fleet.blame(former.id, 'unreachable', `${reasonOf(error)} (asked what it knew of ${url})`);
    }
    return undefined;
  }
}
