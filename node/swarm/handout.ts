// Who passes an object on to whom: a pure policy, decided by the object's owner.
//
// The owner is the root of a tree of relays. Nobody serves more than a few at once, and whoever
// asks is put where the way from the root is shortest. Over time nobody gives much more than
// others: who has the whole is as good a source as the root.

export const ROOT = 'root';

/** A member that has the object or is getting it. */
export interface Participant {
  readonly id: string;
  /** Who it gets the bytes from: a member, ROOT, or nobody that the owner knows of. */
  readonly parent: string | undefined;
  /** It has all of the object. */
  readonly whole: boolean;
  /** Members that it is passing the object on to at the moment. */
  readonly children: number;
  /** Members that were ever sent to it. */
  readonly given: number;
  /** Far behind the front: gets no children. */
  readonly lagging: boolean;
}

export interface FanOut {
  readonly root: number;
  readonly relay: number;
  /** To be sent elsewhere costs more than the bytes do: only when the root has no room. */
  readonly rootFirst: boolean;
}

export interface HandoutQuery {
  readonly asker: string;
  readonly exclude: ReadonlySet<string>;
  readonly participants: ReadonlyMap<string, Participant>;
  /** Members that the root itself serves at the moment. */
  readonly rootChildren: number;
  /** Members that it ever served. */
  readonly rootGiven: number;
  readonly fanOut: FanOut;
}

/** The member to ask, or ROOT. */
export function chooseSource(query: HandoutQuery): string {
  const { participants, fanOut, rootChildren, rootGiven } = query;
  const depths = new Map<string, number>();
  let best = ROOT;
  let bestCost = cost(0, rootChildren, fanOut.root, rootGiven);
  for (const participant of participants.values()) {
    const { id, lagging, whole, children, given } = participant;
    if (id === query.asker || lagging || query.exclude.has(id)) continue;
    const steps = depthOf(id, participants, depths, query.asker);
    if (steps === Infinity) continue;
    const depth = whole && !fanOut.rootFirst ? 0 : steps;
    const candidate = cost(depth, children, fanOut.relay, given);
    if (candidate < bestCost) {
      best = id;
      bestCost = candidate;
    }
  }
  return best;
}

/** Free places first, then the shortest way; among equals whoever serves, then served, fewest. */
function cost(depth: number, children: number, places: number, given: number): number {
  const over = Math.max(0, children - places + 1);
  return over * 1e9 + depth * 1e6 + children * 1e3 + Math.min(given, 999);
}

/** Steps to the root; Infinity for whoever gets its bytes, at whatever remove, from the asker. */
function depthOf(
  id: string,
  participants: ReadonlyMap<string, Participant>,
  known: Map<string, number>,
  asker: string,
): number {
  const cached = known.get(id);
  if (cached !== undefined) return cached;
  known.set(id, Infinity); // a circle never reaches the root
  const parent = participants.get(id)?.parent;
  let depth = 1;
  if (parent === asker) depth = Infinity;
  else if (parent !== undefined && parent !== ROOT && participants.has(parent)) {
    depth = depthOf(parent, participants, known, asker) + 1;
  }
  known.set(id, depth);
  return depth;
}
