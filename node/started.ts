/** Parts that were started, to be ended in the reverse order. */
export class Started {
  readonly #ends: (() => Promise<unknown> | undefined)[] = [];

  add<T extends { close(): Promise<unknown> | undefined }>(part: T): T {
    this.#ends.push(() => part.close());
    return part;
  }

  async close(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
  }
}
