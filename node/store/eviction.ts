// What to give up when space is short: a pure policy.

export interface Candidate {
  readonly key: string;
  /** Bytes on disk. */
  readonly size: number;
  /** Any unit that grows with time. */
  readonly lastUsed: number;
  /** Somebody reads it now: giving it up frees nothing until they end. */
  readonly pinned: boolean;
  /** A half object that nobody is working on. */
  readonly partial: boolean;
  /** Larger than the whole budget. */
  readonly oversize: boolean;
  /** Other members hold it, too. */
  readonly heldElsewhere: boolean;
}

/**
 * Chooses what to remove until `bytes` are free: first objects larger than the whole budget, then
 * half objects, then what other members hold, then last copies; within a class the longest unused
 * first. Pinned ones are never chosen. Frees less when there is no more.
 */
export function victims(candidates: Iterable<Candidate>, bytes: number): Candidate[] {
  const chosen: Candidate[] = [];
  if (bytes <= 0) return chosen;
  const free = Array.from(candidates).filter((candidate) => !candidate.pinned);
  free.sort((a, b) => rank(a) - rank(b) || a.lastUsed - b.lastUsed);
  let freed = 0;
  for (const candidate of free) {
    if (freed >= bytes) break;
    chosen.push(candidate);
    freed += candidate.size;
  }
  return chosen;
}

function rank(candidate: Candidate): number {
  if (candidate.oversize) return 0;
  if (candidate.partial) return 1;
  return candidate.heldElsewhere ? 2 : 3;
}
