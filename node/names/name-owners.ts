// Asking the owner of a volatile name what it stands for, or the next in rank where that one is
// silent.
import type { Digest } from '../content/digest.ts';
import { reasonOf } from '../errors.ts';
import type { Fleet, Member } from '../fleet/fleet.ts';
import type { Trace } from '../metrics/ways.ts';
import { type Clock, deadlineSignal } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Store } from '../store/store.ts';
import type { Peers } from '../transfer/peers.ts';
import type { KnownNames, Named } from './known-names.ts';

interface NameOwnersDeps {
  readonly fleet: Fleet;
  readonly peers: Peers | undefined;
  readonly known: KnownNames;
  readonly store: Pick<Store, 'stat'>;
  readonly clock: Clock;
  readonly log: Log;
}

/** A client of this node waits for its owner's answer at most so long. */
const ASK_MS = 25_000;
const RANKS_ASKED = 2;

export class NameOwners {
  readonly #deps: NameOwnersDeps;

  constructor(deps: NameOwnersDeps) {
    this.#deps = deps;
  }

  /** `undefined`: this node has to answer, as the owner or because nobody before it does. */
  async ask(url: string, noCache: boolean, trace?: Trace): Promise<Named | undefined> {
    const { fleet } = this.#deps;
    await fleet.ready();
    const host = new URL(url).host;
    const ranked = fleet.rank(url, { host, limit: RANKS_ASKED });
    for (const [rank, member] of ranked.entries()) {
      trace?.note({ what: 'owner', member: member.name, rank });
      if (member.id === fleet.self.id) break;
      const named = await this.#askMember(member, url, noCache, trace);
      if (named === 'failed') break;
      if (named) return named;
    }
    return undefined;
  }

  /** `undefined`: the member does not answer. 'failed': it has no way to upstream. */
  async #askMember(
    member: Member,
    url: string,
    noCache: boolean,
    trace: Trace | undefined,
  ): Promise<Named | 'failed' | undefined> {
    const { fleet, peers, known, clock, log } = this.#deps;
    if (!peers) return undefined;
    const query = { url, noCache, view: fleet.view, has: await this.#has(url) };
    const signal = deadlineSignal(clock, ASK_MS);
    const sinceMs = clock.monotonicMs();
    const note = (said: string) =>
      trace?.note({
        what: 'asked',
        member: member.name,
        said,
        tookMs: Math.round(clock.monotonicMs() - sinceMs),
      });
    let waits = false;
    try {
      while (!signal.aborted) {
        const answer = await peers.name(member, query, { signal, trace });
        waits = answer.kind === 'pending';
        if (waits) continue;
        note(answer.kind);
        if (answer.kind === 'streaming') return { ...answer, holder: member };
        if (answer.kind === 'resolved') return known.adopt(url, member, answer);
        const reason = answer.kind === 'failed' ? answer.error.message : answer.kind;
        log.info({ url, owner: member.name, reason }, 'owner has no answer');
        return 'failed';
      }
      // It is there and waits for upstream: another owner would only ask upstream once more.
      return 'failed';
    } catch (error) {
      note(reasonOf(error));
      if (waits && signal.aborted) return 'failed';
      fleet.blame(member, 'unreachable', `${reasonOf(error)} (asked for ${url})`);
    }
    return undefined;
  }

  /** What the name stood for when this node last heard, if it is still here. */
  async #has(url: string): Promise<Digest[]> {
    const { known, store } = this.#deps;
    const digest = (await known.last(url))?.resolution.digest;
    return digest !== undefined && store.stat(digest) ? [digest] : [];
  }
}
