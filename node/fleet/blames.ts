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
  /** Of those that are gone or wrong. */
  readonly #harm = new Map<string, Blame>();
  /** Of those that are stalled or slow: apart, since they keep what they own. */
  readonly #busy = new Map<string, Blame>();
  #latest: Blame[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(member: { id: string; name: string }, fault: Fault, detail: string): void {
    const nowMs = this.#clock.nowMs();
    const blames = isBusy(fault) ? this.#busy : this.#harm;
    const last = blames.get(member.id);
    // Ten transfers that fail together are one failure.
    if (last !== undefined && last.fault === fault && last.untilMs > nowMs) return;
    const untilMs = nowMs + lengthMs(fault, last, nowMs);
    const blame = { member: member.id, name: member.name, fault, detail, atMs: nowMs, untilMs };
    this.#latest = [blame, ...this.#latest.slice(0, LATEST_MAX - 1)];
    if (last === undefined || untilMs >= last.untilMs) blames.set(member.id, blame);
  }

  /** Without `busy`: as long as a member is only stalled or slow, it is not blamed. */
  of(id: string, { busy = true } = {}): Blame | undefined {
    const blame = this.#active(this.#harm, id);
    return blame ?? (busy ? this.#active(this.#busy, id) : undefined);
  }

  /** A new start of the daemon is a new chance, except for one that gave wrong bytes. */
  restarted(id: string): void {
    this.#busy.delete(id);
    if (this.#harm.get(id)?.fault !== 'corrupt') this.#harm.delete(id);
  }

  /** Ids of those that are gone or wrong: not only busy. */
  active(): Set<string> {
    const ids = new Set<string>();
    for (const id of this.#harm.keys()) if (this.#active(this.#harm, id)) ids.add(id);
    return ids;
  }

  /** The latest hundred, newest first. */
  latest(): readonly Blame[] {
    return this.#latest;
  }

  #active(blames: Map<string, Blame>, id: string): Blame | undefined {
    const blame = blames.get(id);
    const nowMs = this.#clock.nowMs();
    if (blame === undefined || blame.untilMs > nowMs) return blame;
    // How long the next one lasts depends on it.
    if (blame.untilMs + UNREACHABLE_MAX_MS < nowMs) blames.delete(id);
    return undefined;
  }
}

function isBusy(fault: Fault): boolean {
  return fault === 'stalled' || fault === 'slow';
}

function lengthMs(fault: Fault, last: Blame | undefined, nowMs: number): number {
  const first = durationMs[fault];
  if (fault !== 'unreachable' || last?.fault !== fault) return first;
  if (nowMs - last.untilMs > UNREACHABLE_MAX_MS) return first;
  return Math.min(UNREACHABLE_MAX_MS, 2 * (last.untilMs - last.atMs));
}
