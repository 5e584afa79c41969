// The one loop that all bytes come in through: takes those of one flight from one source at a time,
// whatever kind it is. Whom to ask next is decided by who drives it (object-feeder.ts,
// names/name-feeder.ts), what a failure means in source-faults.ts.
import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError, reasonOf } from '../errors.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Flight } from '../flight/flight.ts';
import { pieceCount } from '../limits.ts';
import type { LinkRates } from '../links/link-rates.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Trace } from '../metrics/ways.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { PeerAddress, Peers } from '../transfer/peers.ts';
import {
  idOf,
  labelOf,
  type Origin,
  type Source,
  type SourceFrame,
  type SourceStream,
} from '../transfer/source.ts';
import { UpstreamSource } from '../transfer/upstream/upstream-source.ts';
import type { Upstream } from '../transfer/upstream.ts';
import { ProgressReports, REPORT_EVERY_MS } from './progress-reports.ts';
import { type Outcome, SourceFaults, type SourceFaultsDeps } from './source-faults.ts';

export interface FeedingDeps extends SourceFaultsDeps {
  readonly garbage: Garbage;
  readonly pool: PiecePool;
  readonly fleet: Fleet;
  /** Absent in a fleet of one. */
  readonly peers: Peers | undefined;
  readonly upstream: Upstream;
  readonly links: LinkRates;
  readonly counters: Counters;
  readonly clock: Clock;
}

export interface FeedingOptions {
  /** A chain of relays whose head was not heard of for so long is given up, ms. */
  readonly stallMs: number;
  /** Takes one record of each source. */
  readonly trace?: Trace | undefined;
}

/** What holds for one source. */
interface Terms {
  /** The first piece that is not wanted of it. */
  readonly to?: number;
  /** The owner that named it: it is told how the bytes come, and may say that another is better. */
  readonly owner?: Member;
  /** It is asked as the owner: its word on upstream settles the matter, others' is hearsay. */
  readonly authority?: boolean;
  /** It is asked once more when its connection breaks, and not blamed before. */
  readonly lenient?: boolean;
}

type PieceFrame = Extract<SourceFrame, { type: 'piece' }>;

export class Feeding {
  readonly #deps: FeedingDeps;
  readonly #flight: Flight;
  readonly #options: FeedingOptions;
  readonly #stop = new AbortController();
  readonly #reports: ProgressReports;
  readonly #sourced = Promise.withResolvers<void>();
  readonly #givers = new Set<string>();
  readonly faults: SourceFaults;
  #origin: Origin | undefined;
  #lastKind: Origin['kind'] = 'member';
  /** Ends the present source, or the question for one. */
  #pull = new AbortController();
  #rootHeardMs: number;
  /** When the present fetch from upstream began, and with how many pieces. */
  #fetch: { readonly atMs: number; readonly pieces: number } | undefined;

  constructor(deps: FeedingDeps, flight: Flight, options: FeedingOptions) {
    this.#deps = deps;
    this.#flight = flight;
    this.#options = options;
    this.faults = new SourceFaults(deps, flight, options);
    const digest = flight.key as Digest;
    this.#reports = new ProgressReports(deps, flight, { digest, stop: this.#stop.signal });
    this.#rootHeardMs = deps.clock.monotonicMs();
  }

  /** The present source. */
  get origin(): Origin | undefined {
    return this.#origin;
  }

  /** The present one's, or the last one's. */
  get lastKind(): Origin['kind'] {
    return this.#lastKind;
  }

  /** Ids of the members that gave of it, if it is wrong, or said so of what others gave. */
  get suspects(): ReadonlySet<string> {
    return this.#flight.disproved ? this.#givers : this.faults.tellers;
  }

  /** Resolves when the first source is found, or there is none. */
  sourced(): Promise<void> {
    return this.#sourced.promise;
  }

  get open(): boolean {
    return this.#flight.state === 'running' && !this.#stop.signal.aborted;
  }

  /** Since the head of the chain of relays was last known to be at work, ms. */
  get rootAgeMs(): number {
    return this.#deps.clock.monotonicMs() - this.#rootHeardMs;
  }

  /** How long the fetch from upstream will take yet, by what it did so far, ms. */
  get fetchLeftMs(): number {
    const { size } = this.#flight.meta;
    if (size === undefined || this.#fetch === undefined) return Infinity;
    const { pieces } = this.#flight;
    const tookMs = this.#deps.clock.monotonicMs() - this.#fetch.atMs;
    return ((pieceCount(size) - pieces) * tookMs) / (pieces - this.#fetch.pieces);
  }

  /** Aborted by `stop`. */
  get stopped(): AbortSignal {
    return this.#stop.signal;
  }

  /** Ends everything. */
  stop(): void {
    this.#stop.abort();
    this.#pull.abort();
  }

  /** There will be no other source: whoever waits for one hears what the flight failed of. */
  async conclude(): Promise<void> {
    this.#origin = undefined;
    this.#sourced.resolve();
    if (this.#flight.state !== 'running') return;
    const { definitive, tried } = this.faults;
    const nothing = `no way to the bytes of ${this.#flight.url}`;
    const verdict = definitive ?? new HerdError('NO_SOURCE', nothing, { tried });
    await this.#flight.fail(this.#stop.signal.aborted ? abandoned() : verdict);
  }

  /** The head is at work: this node is it, or hears of it. */
  headHeard(): void {
    this.#rootHeardMs = this.#deps.clock.monotonicMs();
  }

  /** What `abort` ends from now on: the next source, or the question for one. */
  begin(): AbortController {
    const pull = new AbortController();
    if (this.#stop.signal.aborted) pull.abort();
    this.backTo(pull);
    return pull;
  }

  /** `abort` ends this once more. */
  backTo(pull: AbortController): void {
    this.#pull = pull;
  }

  abort(): void {
    this.#pull.abort();
  }

  /** All that upstream has and is not here. `elected`: for the fleet. */
  async takeUpstream(elected: boolean): Promise<void> {
    const refused = this.#deps.refusals.of(this.#flight);
    if (refused) this.faults.settle(refused);
    else await this.take(this.upstreamSource(elected));
  }

  /** Upstream, with what comes from there counted. */
  upstreamSource(elected: boolean): UpstreamSource {
    const { upstream, pool, counters, links, garbage } = this.#deps;
    const counter = elected
      ? 'received.bytes.upstream.elected'
      : 'received.bytes.upstream.unelected';
    const received = (bytes: number) => {
      counters.add(counter, bytes);
      links.noteUpstream(bytes);
      garbage.note(bytes);
    };
    return new UpstreamSource({ upstream, pool, received }, { elected });
  }

  /** Takes what is wanted of `source`. One that fails is not asked again for this flight. */
  async take(source: Source, terms: Terms = {}): Promise<Outcome> {
    const { origin, supports } = source;
    const { avoided } = this.faults;
    if (origin.kind === 'member' && avoided.has('source', idOf(origin.peer))) return 'ended';
    const { signal } = this.begin();
    const from = supports.resume ? this.#flight.pieces : 0;
    const range = terms.to === undefined ? { from } : { from, to: terms.to };
    // What upstream gives is on its way from the request on: others wait to know whether it is.
    if (origin.kind === 'upstream') this.#asksUpstream(origin);
    return await this.#watched(origin, terms, async () => {
      const sinceMs = this.#deps.clock.monotonicMs();
      let stream: SourceStream | undefined;
      try {
        stream = await source.open(this.#flight, range, { signal, trace: this.#options.trace });
      } catch (error) {
        this.#origin = undefined;
        if (signal.aborted) return 'ended';
        this.#note(origin, 0, sinceMs, reasonOf(error));
        return await this.faults.failed(origin, error, false);
      }
      if (stream) return await this.#read(origin, stream, terms, signal);
      this.faults.empty(origin);
      return 'ended';
    });
  }

  /** Takes a stream that came with the answer to what was asked since `begin`, to its end. */
  async consume(origin: Origin, stream: SourceStream, terms: Terms = {}): Promise<Outcome> {
    const { signal } = this.#pull;
    return await this.#watched(origin, terms, () => this.#read(origin, stream, terms, signal));
  }

  /** The owner knows when a source is not what it should be. */
  async #watched(
    origin: Origin,
    { owner }: Terms,
    taking: () => Promise<Outcome>,
  ): Promise<Outcome> {
    const pull = this.#pull;
    let watch: Timer | undefined;
    if (owner && origin.kind === 'member') {
      watch = this.#reports.watch(origin.peer, owner, (move) => {
        if (!this.open || this.#pull !== pull || pull.signal.aborted) return;
        if (move === 'slow') this.#blameSlow(origin.peer);
        this.faults.avoid(origin, 'moved');
        pull.abort();
      });
    }
    try {
      return await taking();
    } finally {
      watch?.cancel();
    }
  }

  /** Reads to the end of the stream or of the object. */
  async #read(
    origin: Origin,
    stream: SourceStream,
    terms: Terms,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { links, clock } = this.#deps;
    const { bytes, pieces } = this.#flight;
    const sinceMs = clock.monotonicMs();
    this.#from(origin);
    if (origin.kind === 'member') {
      this.headHeard();
      links.began();
    }
    let outcome: Outcome = 'ended';
    let reason: string | undefined;
    try {
      while (this.open && (await this.#frame(origin, stream, terms)));
      // It gave what it was asked for, or all it had: nothing more is to be had from it.
      if (this.open) this.faults.avoid(origin, 'spent');
    } catch (error) {
      reason = reasonOf(error);
      if (!signal.aborted && this.open) outcome = await this.#broke(origin, error, terms);
    } finally {
      if (origin.kind === 'member') links.ended();
      this.#origin = undefined;
      if (this.#flight.state === 'whole') stream.done();
      else stream.cancel();
    }
    this.#note(origin, this.#flight.bytes - bytes, sinceMs, signal.aborted ? 'left' : reason);
    this.#ended(origin, terms, this.#flight.pieces > pieces);
    return outcome;
  }

  async #broke(origin: Origin, error: unknown, { lenient = false }: Terms): Promise<Outcome> {
    const connection = error instanceof HerdError && error.code === 'SOURCE_FAILED';
    if (lenient && connection) return this.faults.broke(origin, error);
    return await this.faults.failed(origin, error, true);
  }

  #ended(origin: Origin, { owner }: Terms, gave: boolean): void {
    const { state, error } = this.#flight;
    if (gave && origin.kind === 'member') this.#givers.add(idOf(origin.peer));
    if (origin.kind === 'member' && owner && state === 'whole') {
      this.#reports.whole(owner, origin.peer);
    }
    const wrong = error?.code === 'CONTENT_MISMATCH';
    const all = this.#fetch?.pieces === 0;
    if (wrong && origin.kind === 'upstream') this.faults.wholeIsWrong(error, all);
  }

  /** False when nothing more comes. */
  async #frame(origin: Origin, stream: SourceStream, terms: Terms): Promise<boolean> {
    const frame = await stream.next();
    if (frame === undefined) return false;
    switch (frame.type) {
      case 'meta':
        this.#flight.describe(frame.meta);
        return true;
      case 'piece':
        await this.#piece(origin, frame);
        return true;
      case 'wait':
        this.#rootHeardMs = this.#deps.clock.monotonicMs() - frame.ageMs;
        if (frame.ageMs <= this.#options.stallMs) return true;
        throw new HerdError('SOURCE_STALLED', `${labelOf(origin)} waits for somebody who is gone`);
      case 'end':
        await this.#flight.end();
        return false;
      case 'name':
        throw new HerdError('SOURCE_FAILED', `${labelOf(origin)} sent a name amid pieces`);
      case 'fail': {
        const error = HerdError.from(frame.error);
        await this.faults.headFailed(origin, error, terms.authority ?? false);
        return false;
      }
    }
  }

  async #piece(origin: Origin, { index, bytes, hash }: PieceFrame): Promise<void> {
    const { counters, links } = this.#deps;
    const { length } = bytes;
    this.headHeard();
    if (origin.kind === 'member') {
      this.#reports.piece();
      links.note(length);
      counters.add('received.bytes.peer', length);
    }
    await this.#flight.append(index, bytes, hash);
    if (origin.kind === 'upstream' && origin.elected) counters.add('unique.bytes', length);
  }

  #asksUpstream(origin: Origin & { readonly kind: 'upstream' }): void {
    const { clock, counters } = this.#deps;
    this.#from(origin);
    this.#fetch = { atMs: clock.monotonicMs(), pieces: this.#flight.pieces };
    counters.add(origin.elected ? 'upstream.requests.elected' : 'upstream.requests.unelected');
  }

  #from(origin: Origin): void {
    this.#origin = origin;
    this.#lastKind = origin.kind;
    this.#sourced.resolve();
  }

  #blameSlow(peer: PeerAddress): void {
    const { quietMs } = this.#reports;
    const label = labelOf({ kind: 'member', peer });
    if (quietMs > REPORT_EVERY_MS) {
      this.faults.blame(peer, 'stalled', `${label} gave nothing for ${quietMs} ms`);
    } else this.faults.blame(peer, 'slow', `${label} gives less than it has`);
  }

  #note(origin: Origin, bytes: number, sinceMs: number, reason: string | undefined): void {
    const { state, error } = this.#flight;
    this.#options.trace?.note({
      what: 'source',
      from: labelOf(origin),
      kind: origin.kind,
      bytes: Math.max(0, bytes),
      tookMs: Math.round(this.#deps.clock.monotonicMs() - sinceMs),
      end: reason ?? (state === 'whole' ? 'whole' : (error?.message ?? 'no more')),
    });
  }
}

function abandoned(): HerdError {
  return new HerdError('SHUTTING_DOWN', 'nobody waits for it any more');
}
