// What this node has, or is getting, opened for a member that asks for it by its key.
import type { Digest } from '../content/digest.ts';
import type { Flights } from '../fetch/flights.ts';
import type { Supply } from '../fetch/supply.ts';
import { isSmall } from '../limits.ts';
import { checkedObject } from '../store/checked-object.ts';
import type { Store } from '../store/store.ts';
import type { NameAnswer } from '../transfer/peers.ts';

interface SuppliesDeps {
  readonly store: Store;
  readonly flights: Flights;
}

export class Supplies {
  readonly #deps: SuppliesDeps;

  constructor(deps: SuppliesDeps) {
    this.#deps = deps;
  }

  /** What is here under `key` (a digest, or the name of a flight), for whoever asks. */
  async object(key: string): Promise<Supply | undefined> {
    const { flights, store } = this.#deps;
    const boarding = await flights.join(key);
    if (boarding) return { kind: 'flight', boarding };
    const object = await store.open(key as Digest);
    return object && { kind: 'stored', object: checkedObject(store, object) };
  }

  /** An object that is here whole. */
  async stored(digest: Digest): Promise<Supply | undefined> {
    const { store } = this.#deps;
    let object = await store.open(digest);
    // Its flight may have landed while the store was asked: that is no reason for another one.
    if (!object && store.stat(digest)) object = await store.open(digest);
    return object && { kind: 'stored', object: checkedObject(store, object) };
  }

  /** The object that a name stands for, to go with the answer to a member that `has` others. */
  async enclosure(answer: NameAnswer, has: readonly Digest[]): Promise<Supply | undefined> {
    if (answer.kind !== 'resolved') return undefined;
    const { digest, size } = answer.resolution;
    if (digest === undefined || !isSmall(size) || has.includes(digest)) return undefined;
    return await this.object(digest);
  }
}
