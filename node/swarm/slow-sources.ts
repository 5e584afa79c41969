// Which sources are slow, by two witnesses: one member behind its source may be slow itself, as
// anybody is for a moment on a busy machine; two who never lagged elsewhere are believed.

export class SlowSources {
  readonly #slow = new Set<string>();
  /** Members that were moved because they were behind their source. */
  readonly #heldUp = new Set<string>();
  /** By source: the first member that was moved away from it. */
  readonly #firstHeldUp = new Map<string, string>();

  /**
   * `child` is moved away from `source`, which it is behind. True when that names the source;
   * `givesMore`: another child of it is clearly ahead, so that it cannot be the source.
   */
  accuse(source: string, child: string, givesMore: boolean): boolean {
    const before = this.#heldUp.has(child);
    this.#heldUp.add(child);
    if (before || givesMore) return false;
    const first = this.#firstHeldUp.get(source);
    if (first === undefined) this.#firstHeldUp.set(source, child);
    if (first === undefined || first === child) return false;
    this.#slow.add(source);
    return true;
  }

  has(id: string): boolean {
    return this.#slow.has(id);
  }

  forget(id: string): void {
    this.#slow.delete(id);
    this.#heldUp.delete(id);
    this.#firstHeldUp.delete(id);
  }
}
