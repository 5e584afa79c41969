// Which learned indexes may say something about a URL. Small, and kept in memory.
import type { LearnedIndex } from './catalog.ts';

export interface KnownIndex extends LearnedIndex {
  /** Grows with each index learned: the younger one is believed first. */
  readonly sequence: number;
}

export class KnownIndexes<I extends KnownIndex> {
  readonly #byUrl = new Map<string, I>();
  readonly #byBase = new Map<string, I[]>();
  #sequence = 0;

  nextSequence(): number {
    return this.#sequence + 1;
  }

  get(indexUrl: string): I | undefined {
    return this.#byUrl.get(indexUrl);
  }

  set(index: I): void {
    const old = this.#byUrl.get(index.indexUrl);
    if (old) {
      const others = this.#byBase.get(old.baseUrl)!.filter((other) => other !== old);
      if (others.length > 0) this.#byBase.set(old.baseUrl, others);
      else this.#byBase.delete(old.baseUrl);
    }
    this.#byUrl.set(index.indexUrl, index);
    const same = [...(this.#byBase.get(index.baseUrl) ?? []), index];
    this.#byBase.set(index.baseUrl, same.sort(byTrust));
    this.#sequence = Math.max(this.#sequence, index.sequence);
  }

  /** All indexes whose base `url` starts with: longest base first, then those to believe first. */
  candidates(url: string): I[] {
    const found: I[] = [];
    const origin = url.indexOf('/', url.indexOf('//') + 2);
    for (let at = url.lastIndexOf('/'); at >= origin && at > 0; at = url.lastIndexOf('/', at - 1)) {
      const indexes = this.#byBase.get(url.slice(0, at + 1));
      if (indexes) found.push(...indexes);
    }
    return found;
  }
}

function byTrust(a: KnownIndex, b: KnownIndex): number {
  return Number(a.secondHand ?? false) - Number(b.secondHand ?? false) || b.sequence - a.sequence;
}
