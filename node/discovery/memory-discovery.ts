// Discovery within one process: a map that nodes share, for tests, simulations and solo nodes.
import type { Digest } from '../content/digest.ts';
import type { Clock } from '../platform/clock.ts';
import type { Discovery, Holder } from './discovery.ts';
import { HolderStream } from './holder-stream.ts';

/** Who holds what, for all nodes that share it. */
export class HolderMap {
  readonly #holders = new Map<Digest, Set<Holder>>();

  add(digest: Digest, holder: Holder): void {
    this.#holders.set(digest, (this.#holders.get(digest) ?? new Set()).add(holder));
  }

  remove(digest: Digest, holder: Holder): void {
    const holders = this.#holders.get(digest);
    holders?.delete(holder);
    if (holders?.size === 0) this.#holders.delete(digest);
  }

  of(digest: Digest): Iterable<Holder> {
    return this.#holders.get(digest) ?? [];
  }
}

export interface MemoryDiscoveryDeps {
  readonly clock: Clock;
  /** A map of its own for a node that is alone. */
  readonly holders: HolderMap;
}

export class MemoryDiscovery implements Discovery {
  readonly #deps: MemoryDiscoveryDeps;
  readonly #self: Holder;
  readonly #announced = new Set<Digest>();
  readonly #delayMs: number;

  /** `delayMs`: how long a search takes. */
  constructor(deps: MemoryDiscoveryDeps, options: { self: Holder; delayMs?: number }) {
    this.#deps = deps;
    this.#self = options.self;
    this.#delayMs = options.delayMs ?? 0;
  }

  find(
    digest: Digest,
    options: { deadlineMs: number; signal?: AbortSignal },
  ): AsyncIterable<Holder> {
    const { deadlineMs, signal } = options;
    const end = () => stream.end();
    const stream = new HolderStream(() => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
    });
    const timer = this.#deps.clock.after(Math.min(deadlineMs, this.#delayMs), () => {
      if (this.#delayMs <= deadlineMs) this.#answer(digest, stream);
      end();
    });
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
    return stream;
  }

  announce(digest: Digest): void {
    this.#announced.add(digest);
    this.#deps.holders.add(digest, this.#self);
  }

  withdraw(digest: Digest): void {
    this.#announced.delete(digest);
    this.#deps.holders.remove(digest, this.#self);
  }

  async close(): Promise<void> {
    for (const digest of this.#announced) this.withdraw(digest);
  }

  #answer(digest: Digest, stream: HolderStream): void {
    for (const holder of this.#deps.holders.of(digest)) {
      if (holder !== this.#self) stream.push(holder);
    }
  }
}
