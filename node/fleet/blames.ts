// Whom this node avoids, and until when. A private judgement: it never changes who owns what.
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

export class Blames {
  readonly #clock: Clock;
  readonly #current = new Map<string, Blame>();
  #latest: Blame[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(member: { id: string; name: string }, fault: Fault, detail: string): void {
    const nowMs = this.#clock.nowMs();
    const last = this.#current.get(member.id);
    // Ten transfers that fail together are one failure.
    if (last !== undefined && last.fault === fault && last.untilMs > nowMs) return;
    const untilMs = nowMs + lengthMs(fault, last, nowMs);
    const blame = { member: member.id, name: member.name, fault, detail, atMs: nowMs, untilMs };
    this.#latest = [blame, ...this.#latest.slice(0, LATEST_MAX - 1)];
    if (last === undefined || outweighs(blame, last, nowMs)) this.#current.set(member.id, blame);
  }

  of(id: string): Blame | undefined {
    const blame = this.#current.get(id);
    return blame !== undefined && blame.untilMs > this.#clock.nowMs() ? blame : undefined;
  }

  /** A new start of the daemon is a new chance, except for one that gave wrong bytes. */
  restarted(id: string): void {
    if (this.#current.get(id)?.fault !== 'corrupt') this.#current.delete(id);
  }

  /** Ids avoided now; where something small is asked for, not those that are only slow. */
  active({ small = false } = {}): Set<string> {
    const ids = new Set<string>();
    if (this.#current.size === 0) return ids;
    const nowMs = this.#clock.nowMs();
    for (const [id, { fault, untilMs }] of this.#current) {
      if (untilMs > nowMs) {
        if (!small || fault !== 'slow') ids.add(id);
      } else if (untilMs + UNREACHABLE_MAX_MS < nowMs) this.#current.delete(id);
    }
    return ids;
  }

  /** The latest hundred, newest first. */
  latest(): readonly Blame[] {
    return this.#latest;
  }
}

/** The longer one counts, and one that is only slow least. */
function outweighs(blame: Blame, last: Blame, nowMs: number): boolean {
  if (last.untilMs <= nowMs || last.fault === 'slow') return true;
  return blame.fault !== 'slow' && blame.untilMs >= last.untilMs;
}

function lengthMs(fault: Fault, last: Blame | undefined, nowMs: number): number {
  const first = durationMs[fault];
  if (fault !== 'unreachable' || last?.fault !== fault) return first;
  if (nowMs - last.untilMs > UNREACHABLE_MAX_MS) return first;
  return Math.min(UNREACHABLE_MAX_MS, 2 * (last.untilMs - last.atMs));
}
