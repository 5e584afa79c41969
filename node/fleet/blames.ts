// Whom this node avoids, and for how long. A private judgement: it never changes who owns what.
import type { Clock } from '../platform/clock.ts';
import type { Blame, Fault } from './fleet.ts';

const SECOND = 1000;

const durationMs: Record<Fault, number> = {
  unreachable: 10 * SECOND,
  stalled: 30 * SECOND,
  slow: 60 * SECOND,
  protocol: 60 * SECOND,
  corrupt: 600 * SECOND,
};

// A member that stays away is tried ever more rarely.
const UNREACHABLE_MAX_MS = 300 * SECOND;
const LATEST_MAX = 100;

/** A blame by monotonic time: the wall clock of a machine that has just started may be set. */
interface Term {
  readonly blame: Omit<Blame, 'atMs' | 'untilMs'>;
  readonly beginMs: number;
  readonly endMs: number;
}

export class Blames {
  readonly #clock: Clock;
  /** Of those that are gone or wrong. */
  readonly #harm = new Map<string, Term>();
  /** Of those that are stalled or slow: apart, since they keep what they own. */
  readonly #busy = new Map<string, Term>();
  #latest: Term[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** False where it adds nothing to a blame that holds. */
  add(member: { id: string; name: string }, fault: Fault, detail: string): boolean {
    const beginMs = this.#clock.monotonicMs();
    const terms = isBusy(fault) ? this.#busy : this.#harm;
    const last = terms.get(member.id);
    // Ten transfers that fail together are one failure.
    if (last !== undefined && last.blame.fault === fault && last.endMs > beginMs) return false;
    const endMs = beginMs + lengthMs(fault, last, beginMs);
    const blame = { member: member.id, name: member.name, fault, detail };
    const term = { blame, beginMs, endMs };
    this.#latest = [term, ...this.#latest.slice(0, LATEST_MAX - 1)];
    if (last === undefined || endMs >= last.endMs) terms.set(member.id, term);
    return true;
  }

  /** Without `busy`: as long as a member is only stalled or slow, it is not blamed. */
  of(id: string, { busy = true } = {}): Blame | undefined {
    const term =
      this.#running(this.#harm, id) ?? (busy ? this.#running(this.#busy, id) : undefined);
    return term && this.#byWallClock(term);
  }

  /** A new start of the daemon is a new chance, except for one that gave wrong bytes. */
  restarted(id: string): void {
    this.#busy.delete(id);
    if (this.#harm.get(id)?.blame.fault !== 'corrupt') this.#harm.delete(id);
  }

  /** Ids of those that are gone or wrong: not only busy. */
  active(): Set<string> {
    const ids = new Set<string>();
    for (const id of this.#harm.keys()) if (this.#running(this.#harm, id)) ids.add(id);
    return ids;
  }

  /** The latest hundred, newest first. */
  latest(): readonly Blame[] {
    return this.#latest.map((term) => this.#byWallClock(term));
  }

  #running(terms: Map<string, Term>, id: string): Term | undefined {
    const term = terms.get(id);
    const nowMs = this.#clock.monotonicMs();
    if (term === undefined || term.endMs > nowMs) return term;
    // How long the next one lasts depends on it.
    if (term.endMs + UNREACHABLE_MAX_MS < nowMs) terms.delete(id);
    return undefined;
  }

  /** Times as the wall clock of now would have told them. */
  #byWallClock({ blame, beginMs, endMs }: Term): Blame {
    const originMs = this.#clock.nowMs() - this.#clock.monotonicMs();
    const atMs = Math.round(originMs + beginMs);
    return { ...blame, atMs, untilMs: atMs + Math.round(endMs - beginMs) };
  }
}

function isBusy(fault: Fault): boolean {
  return fault === 'stalled' || fault === 'slow';
}

function lengthMs(fault: Fault, last: Term | undefined, nowMs: number): number {
  const first = durationMs[fault];
  if (fault !== 'unreachable' || last?.blame.fault !== fault) return first;
  if (nowMs - last.endMs > UNREACHABLE_MAX_MS) return first;
  return Math.min(UNREACHABLE_MAX_MS, 2 * (last.endMs - last.beginMs));
}
