// Holders as they are found, each once, until the search ends.
import type { Holder } from './discovery.ts';

export class HolderStream implements AsyncIterable<Holder> {
  readonly #seen = new Set<string>();
  readonly #waiting: Holder[] = [];
  readonly #onEnd: () => void;
  #wake: (() => void) | undefined;
  #ended = false;

  /** `onEnd` runs once, when the search ends or the reader has enough. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  push(holder: Holder): void {
    const name = `${holder.address} ${holder.port}`;
    if (this.#ended || this.#seen.has(name)) return;
    this.#seen.add(name);
    this.#waiting.push(holder);
    this.#wake?.();
  }

  /** No more holders; those that wait are still given. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Holder> {
    try {
      for (;;) {
        const next = this.#waiting.shift();
        if (next !== undefined) yield next;
        else if (this.#ended) return;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.end();
    }
  }
}
