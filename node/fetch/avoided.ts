// Which members are not asked again for one object while it is on its way in, and why: the one
// register of a flight. What holds beyond it is the fleet's to know (Fleet.blame).

/** As a giver of bytes, or as the owner (or its successor) that is asked where they are. */
export type Role = 'source' | 'owner';

export type Why =
  /** It gave all it had, or has nothing. */
  | 'spent'
  /** Its bytes were wrong, or the object that it gave was. */
  | 'corrupt'
  /** No answer, or a connection that broke. */
  | 'broken'
  /** Its connection stood, and nothing came. */
  | 'silent'
  /** The owner said that another source is better. */
  | 'moved'
  /** What it told of upstream was hearsay. */
  | 'hearsay'
  /** It says that upstream is out of its reach. */
  | 'unable'
  /** Its link is narrow: the next in rank shall fetch. */
  | 'passed'
  /** Asked again and again, without a piece. */
  | 'useless';

export class Avoided {
  readonly #whys = {
    source: new Map<string, Why>(),
    owner: new Map<string, Why>(),
  } as const satisfies Record<Role, Map<string, Why>>;
  /** Members that cannot reach upstream; those of whom others say so may be asked all the same. */
  readonly unable = new Set<string>();

  add(role: Role, id: string, why: Why): void {
    this.#whys[role].set(id, why);
  }

  why(role: Role, id: string): Why | undefined {
    return this.#whys[role].get(id);
  }

  has(role: Role, id: string): boolean {
    return this.#whys[role].has(id);
  }

  ids(role: Role): string[] {
    return [...this.#whys[role].keys()];
  }
}
