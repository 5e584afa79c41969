/** Parts that were started, to be ended in the reverse order. */
export class Started {
  readonly #ends: (() => Promise<unknown> | undefined)[] = [];

  add<T extends { close(): Promise<unknown> | undefined }>(part: T): T {
    this.#ends.push(() => part.close());
    return part;
  }

  /** Ends each once, also where another fails; then throws the first failure. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (let end = this.#ends.pop(); end; end = this.#ends.pop()) {
      try {
        await end();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
