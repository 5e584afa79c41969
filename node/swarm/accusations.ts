// Which sources failed several members since they were last heard of: such a one may be gone, and
// the fleet not know it yet.

/** Who failed so many is offered to no others. */
const ACCUSERS = 2;

export class Accusations {
  readonly #accusers = new Map<string, Set<string>>();

  /** `source` failed `asker`. */
  accuse(source: string, asker: string): void {
    const accusers = this.#accusers.get(source);
    if (accusers) accusers.add(asker);
    else this.#accusers.set(source, new Set([asker]));
  }

  /** Those who are offered to nobody. */
  *shunned(): Iterable<string> {
    for (const [id, accusers] of this.#accusers) if (accusers.size >= ACCUSERS) yield id;
  }

  /** It was heard of, or left. */
  forget(id: string): void {
    this.#accusers.delete(id);
  }
}
