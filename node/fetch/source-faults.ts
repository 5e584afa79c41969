// What it means that a source of one flight failed: who is blamed, who is not asked again, and when
// nobody needs to be asked any more.
import type { Digest } from '../content/digest.ts';
import { type ErrorCode, HerdError, reasonOf } from '../errors.ts';
import type { Fault, Fleet } from '../fleet/fleet.ts';
import type { Flight } from '../flight/flight.ts';
import type { LinkRates } from '../links/link-rates.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Trace } from '../metrics/ways.ts';
import type { Swarms } from '../swarm/swarm.ts';
import type { PeerAddress } from '../transfer/peers.ts';
import { idOf, labelOf, type Origin } from '../transfer/source.ts';
import { Avoided, type Why } from './avoided.ts';
import type { Refusals } from './refusals.ts';

export interface SourceFaultsDeps {
  readonly fleet: Pick<Fleet, 'blame'>;
  readonly refusals: Refusals;
  readonly swarms: Pick<Swarms, 'forget'>;
  readonly links: Pick<LinkRates, 'narrow'>;
  readonly counters: Counters;
}

/**
 * How a source ended. 'broken': it failed; 'hearsay': it said of upstream what only the owner can
 * say; 'told': the owner is well, but upstream is out of its reach; 'passed': it lets the next in
 * rank fetch the object.
 */
export type Outcome = 'ended' | 'broken' | 'hearsay' | 'told' | 'passed';

/** So many owners that are refused by upstream settle the matter. */
const DENIALS = 2;

/** What a member's failure says of it, by the code; any other code: it only tells of others. */
const meanings: { readonly [code in ErrorCode]?: { fault: Fault; why: Why } } = {
  CONTENT_MISMATCH: { fault: 'corrupt', why: 'corrupt' },
  SOURCE_STALLED: { fault: 'stalled', why: 'silent' },
  SOURCE_FAILED: { fault: 'unreachable', why: 'broken' },
};

export class SourceFaults {
  readonly #deps: SourceFaultsDeps;
  readonly #flight: Pick<Flight, 'key' | 'url' | 'pieces' | 'fail'>;
  readonly #trace: Trace | undefined;
  readonly avoided = new Avoided();
  /** What was tried without success, one line each, for people. */
  readonly tried: string[] = [];
  /** Ids of members that said of upstream that it gave wrong bytes. */
  readonly tellers = new Set<string>();
  #definitive: HerdError | undefined;
  #denials = 0;

  constructor(
    deps: SourceFaultsDeps,
    flight: Pick<Flight, 'key' | 'url' | 'pieces' | 'fail'>,
    { trace }: { readonly trace?: Trace | undefined },
  ) {
    this.#deps = deps;
    this.#flight = flight;
    this.#trace = trace;
  }

  /** An answer that settles the matter: nobody else needs to be asked. */
  get definitive(): HerdError | undefined {
    return this.#definitive;
  }

  settle(error: HerdError): void {
    this.#definitive = error;
  }

  avoid(origin: Origin, why: Why): void {
    if (origin.kind === 'member') this.avoided.add('source', idOf(origin.peer), why);
  }

  /** It has nothing of what is wanted. */
  empty(origin: Origin): void {
    this.tried.push(`${labelOf(origin)}: does not have it`);
    this.avoid(origin, 'spent');
  }

  /** A connection broke off, as any may: who gave is to be asked once more. */
  broke(origin: Origin, error: unknown): Outcome {
    this.tried.push(`${labelOf(origin)}: ${reasonOf(error)}`);
    return 'broken';
  }

  /** A source gave no stream, or broke it off. */
  async failed(origin: Origin, error: unknown, opened: boolean): Promise<Outcome> {
    if (origin.kind === 'member') return this.#memberFailed(origin, error, opened);
    this.tried.push(`${labelOf(origin)}: ${reasonOf(error)}`);
    const known = error instanceof HerdError ? error : undefined;
    if (origin.kind === 'upstream') await this.#upstreamFailed(known);
    else if (known?.code === 'CONTENT_MISMATCH') await this.#flight.fail(known);
    return 'broken';
  }

  /**
   * The source is well, but whoever fetches for it got nothing, or something wrong: settles the
   * matter where it has `authority`, else throws what the source failed of.
   */
  async headFailed(origin: Origin, error: HerdError, authority: boolean): Promise<void> {
    this.tried.push(`${labelOf(origin)}: ${error.message}`);
    const { code, message } = error;
    if (code === 'SHUTTING_DOWN') throw new HerdError('SOURCE_FAILED', message);
    if (code === 'PASSED_ON') throw error;
    if (code === 'NOT_FOUND' && authority) return this.settle(error);
    // With a part of it here, that is in doubt as well: it begins anew, and not with this source.
    if (code === 'CONTENT_MISMATCH' && (authority || this.#flight.pieces > 0)) {
      if (!authority && origin.kind === 'member') this.tellers.add(idOf(origin.peer));
      return await this.#flight.fail(error);
    }
    const ofUpstream = code === 'NOT_FOUND' || code === 'CONTENT_MISMATCH';
    if (ofUpstream) throw new HerdError('NOT_FOUND', message);
    if (code === 'UPSTREAM_DENIED' && authority && ++this.#denials === DENIALS) {
      return this.settle(error);
    }
    throw new HerdError('NO_SOURCE', message);
  }

  /**
   * Every piece was what its source said, so upstream gave it so; nobody has the right bytes.
   * `all`: all of them came from there now.
   */
  wholeIsWrong(error: HerdError, all: boolean): void {
    const { swarms, fleet, refusals } = this.#deps;
    const { key, url } = this.#flight;
    swarms.forget(key as Digest);
    if (all) refusals.note(this.#flight, error);
    fleet.blame({ id: 'upstream', name: 'upstream' }, 'corrupt', `${url}: ${error.message}`);
  }

  /** What went wrong with a member, for people and for the fleet, which logs it. */
  blame(peer: PeerAddress, fault: Fault, error: unknown): void {
    const label = labelOf({ kind: 'member', peer });
    const reason = reasonOf(error);
    this.tried.push(`${label}: ${reason}`);
    const { key, pieces } = this.#flight;
    const request = this.#trace ? `, request ${this.#trace.id}` : '';
    const detail = `${reason} (${key.slice(0, 12)}…, piece ${pieces}${request})`;
    this.#deps.fleet.blame({ id: idOf(peer), name: label }, fault, detail);
  }

  async #upstreamFailed(error: HerdError | undefined): Promise<void> {
    this.#deps.counters.add('upstream.errors');
    if (!error || error.code === 'SOURCE_FAILED') return;
    this.settle(error);
    if (error.code === 'CONTENT_MISMATCH') await this.#flight.fail(error);
    else this.#deps.refusals.note(this.#flight, error);
  }

  #memberFailed(
    origin: Origin & { readonly kind: 'member' },
    error: unknown,
    opened: boolean,
  ): Outcome {
    const code = error instanceof HerdError ? error.code : 'INTERNAL';
    // Who does not even answer is gone, however it shows.
    const meaning = opened ? meanings[code] : meanings.SOURCE_FAILED;
    if (!meaning) return this.#told(origin, code);
    const { fault, why } = meaning;
    if (fault === 'corrupt') this.#deps.counters.add('pieces.bad');
    // Through a narrow link that is full anybody seems silent.
    if (fault !== 'stalled' || !this.#deps.links.narrow) this.blame(origin.peer, fault, error);
    this.avoid(origin, why);
    return 'broken';
  }

  #told(origin: Origin, code: ErrorCode): Outcome {
    if (code === 'PASSED_ON') {
      this.avoid(origin, 'passed');
      return 'passed';
    }
    const hearsay = code === 'NOT_FOUND';
    this.avoid(origin, hearsay ? 'hearsay' : 'unable');
    return hearsay ? 'hearsay' : 'told';
  }
}
