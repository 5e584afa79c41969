// Discovery of a node whose store was announced in an earlier cycle: what it starts with goes out
// in the even pace of that cycle, round and round, and not as news.
import type { Digest } from '../../node/content/digest.ts';
import { CYCLE_MS } from '../../node/discovery/dht-discovery.ts';
import type { Discovery, Holder } from '../../node/discovery/discovery.ts';
import type { Clock, Timer } from '../../node/platform/clock.ts';

interface AnnouncedBeforeDeps {
  readonly discovery: Discovery;
  readonly clock: Clock;
  /** Where in its pause it is at the start: 0 to 1, another one for each node. */
  readonly phase: number;
}

export class AnnouncedBefore implements Discovery {
  readonly #deps: AnnouncedBeforeDeps;
  /** While the node is built: all of its store. */
  #known: Set<Digest> | undefined = new Set();
  #round = new Set<Digest>();
  #last: Digest | undefined;
  #timer: Timer | undefined;

  constructor(deps: AnnouncedBeforeDeps) {
    this.#deps = deps;
    this.#timer = deps.clock.after(0, () => this.#begin());
  }

  find(digest: Digest, options: Parameters<Discovery['find']>[1]): AsyncIterable<Holder> {
    return this.#deps.discovery.find(digest, options);
  }

  announce(digest: Digest): void {
    if (this.#known) this.#known.add(digest);
    else this.#deps.discovery.announce(digest);
  }

  withdraw(digest: Digest): void {
    this.#known?.delete(digest);
    this.#round.delete(digest);
    this.#deps.discovery.withdraw(digest);
  }

  close(): Promise<void> {
    this.#timer?.cancel();
    return this.#deps.discovery.close();
  }

  #begin(): void {
    const { clock, phase } = this.#deps;
    this.#round = this.#known ?? new Set();
    this.#known = undefined;
    const pauseMs = CYCLE_MS / Math.max(1, this.#round.size);
    this.#timer = clock.after(pauseMs * phase, () => {
      this.#next();
      this.#timer = clock.every(pauseMs, () => this.#next());
    });
  }

  #next(): void {
    const { discovery } = this.#deps;
    const [digest] = this.#round;
    if (digest === undefined) return;
    this.#round.delete(digest);
    this.#round.add(digest);
    // Left with it, the node's own cycle would send it a second time.
    if (this.#last !== undefined) discovery.withdraw(this.#last);
    this.#last = digest;
    discovery.announce(digest);
  }
}
