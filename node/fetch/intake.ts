// Takes the bytes of one flight from one source at a time, a peer or upstream, and remembers who
// failed at it and how.
import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError, reasonOf } from '../errors.ts';
import type { Fault, Fleet } from '../fleet/fleet.ts';
import type { Flight } from '../flight/flight.ts';
import { PIECE_BYTES, pieceCount } from '../limits.ts';
import type { LinkRates } from '../links/link-rates.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { Log } from '../platform/log.ts';
import type { Swarms } from '../swarm/swarm.ts';
import type { PeerAddress, Peers, PieceStream } from '../transfer/peers.ts';
import type { Upstream, UpstreamResponse } from '../transfer/upstream.ts';
import { PieceAssembler } from './assembler.ts';
import { ProgressReports, REPORT_EVERY_MS } from './progress-reports.ts';

export interface IntakeDeps {
  readonly garbage: Garbage;
  readonly pool: PiecePool;
  readonly fleet: Fleet;
  /** Absent in a fleet of one. */
  readonly peers: Peers | undefined;
  readonly upstream: Upstream;
  readonly swarms: Swarms;
  readonly links: LinkRates;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * How a peer's stream ended. 'told': the peer is well, but says that upstream is out of reach;
 * 'passed': it lets the next in rank fetch the object.
 */
type Outcome = 'ended' | 'broken' | 'told' | 'passed';

interface IntakeOptions {
  readonly digest: Digest;
  /** Ends everything. */
  readonly stop: AbortSignal;
  /** A chain of relays whose head was not heard of for so long is given up. */
  readonly stallMs: number;
}

export class Intake {
  readonly #deps: IntakeDeps;
  readonly #flight: Flight;
  readonly #options: IntakeOptions;
  readonly #sourced = Promise.withResolvers<void>();
  #source = 'none';
  readonly #reports: ProgressReports;
  /** When the present fetch from upstream began, and with how many pieces. */
  #fetch: { readonly atMs: number; readonly pieces: number } | undefined;
  /** Sources that failed this flight, or gave all they had. */
  readonly exclude = new Set<string>();
  /** Those of them that were silent. */
  readonly silent = new Set<string>();
  /** What was tried without success, for people. */
  readonly tried: string[] = [];
  /** An answer that settles the matter: nobody else needs to be asked. */
  definitive: HerdError | undefined;
  /** Ends the present source. */
  pull: AbortController | undefined;
  /** Monotonic time at which the head of the chain was last known to be at work. */
  rootHeardMs: number;
  /** The last one. */
  sourceKind: 'peer' | 'upstream' = 'peer';

  constructor(deps: IntakeDeps, flight: Flight, options: IntakeOptions) {
    this.#deps = deps;
    this.#flight = flight;
    this.#options = options;
    this.#reports = new ProgressReports(deps, flight, options);
    this.rootHeardMs = deps.clock.monotonicMs();
  }

  /** At the moment: 'upstream', a member's name, or 'none'. */
  get source(): string {
    return this.#source;
  }

  /** Resolves when the first source is found, or there is none. */
  sourced(): Promise<void> {
    return this.#sourced.promise;
  }

  get open(): boolean {
    return this.#flight.state === 'running' && !this.#options.stop.aborted;
  }

  /** How long the fetch from upstream will take yet, by what it did so far, ms. */
  get fetchLeftMs(): number {
    const { size } = this.#flight.meta;
    if (size === undefined || this.#fetch === undefined) return Infinity;
    const { pieces } = this.#flight;
    const perPiece =
      (this.#deps.clock.monotonicMs() - this.#fetch.atMs) / (pieces - this.#fetch.pieces);
    return (pieceCount(size) - pieces) * perPiece;
  }

  /** There will be no other source. */
  end(): void {
    this.#source = 'none';
    this.#sourced.resolve();
  }

  // ---- upstream ----

  async fromUpstream(role: 'elected' | 'unelected'): Promise<void> {
    const { upstream, counters } = this.#deps;
    const from = this.#flight.pieces * PIECE_BYTES;
    const signal = this.begin();
    let body: UpstreamResponse['body'] | undefined;
    this.#takeFrom('upstream', 'upstream');
    this.#fetch = { atMs: this.#deps.clock.monotonicMs(), pieces: this.#flight.pieces };
    counters.add(`upstream.requests.${role}`);
    try {
      const response = await upstream.fetch({
        url: this.#flight.url,
        from,
        immutable: true,
        signal,
      });
      if (response.status !== 200) throw refused(this.#flight.url, response.status);
      const { size, lastModified, contentType } = response;
      body = response.body;
      this.#flight.describe({
        ...(size === undefined ? {} : { size }),
        ...(lastModified === undefined ? {} : { lastModified }),
        ...(contentType === undefined ? {} : { contentType }),
      });
      await this.#appendBody(response.body, from - response.from, role);
      if (this.#flight.error?.code === 'CONTENT_MISMATCH') this.#wholeIsWrong(this.#flight.error);
    } catch (error) {
      void body?.[Symbol.asyncIterator]().return?.();
      if (!signal.aborted) await this.#upstreamFailed(error);
    } finally {
      this.#source = 'none';
    }
  }

  async #appendBody(body: AsyncIterable<Buffer>, skip: number, role: 'elected' | 'unelected') {
    const { counters } = this.#deps;
    const assembler = new PieceAssembler(this.#deps.pool, skip);
    for await (const chunk of body) {
      counters.add(`received.bytes.upstream.${role}`, chunk.length);
      this.#deps.links.noteUpstream(chunk.length);
      this.#deps.garbage.note(chunk.length);
      for (const piece of assembler.push(chunk)) await this.#appendOwn(piece, role);
      if (this.#flight.state !== 'running') return;
    }
    const rest = assembler.rest();
    if (rest) await this.#appendOwn(rest, role);
    await this.#flight.end();
  }

  async #appendOwn(piece: Buffer, role: 'elected' | 'unelected'): Promise<void> {
    await this.#flight.append(this.#flight.pieces, piece);
    if (role === 'elected') this.#deps.counters.add('unique.bytes', piece.length);
  }

  async #upstreamFailed(error: unknown): Promise<void> {
    if (!this.open) return;
    this.#deps.counters.add('upstream.errors');
    this.tried.push(`upstream: ${reasonOf(error)}`);
    if (error instanceof HerdError && error.code !== 'SOURCE_FAILED') this.definitive = error;
    if (error instanceof HerdError && error.code === 'CONTENT_MISMATCH') {
      await this.#flight.fail(error);
      this.#wholeIsWrong(error);
    }
  }

  /** Every piece was what its source said, so upstream gave it so; nobody has the right bytes. */
  #wholeIsWrong(error: HerdError): void {
    this.#deps.swarms.forget(this.#options.digest);
    const upstream = { id: 'upstream', name: 'upstream' };
    this.#deps.fleet.blame(upstream, 'corrupt', `${this.#flight.url}: ${error.message}`);
  }

  // ---- taking bytes from a peer ----

  async fromPeer(peer: PeerAddress, options: { to?: number; owner?: Member }): Promise<void> {
    const { peers } = this.#deps;
    if (!peers || this.exclude.has(idOf(peer))) return;
    const range = {
      from: this.#flight.pieces,
      ...(options.to === undefined ? {} : { to: options.to }),
    };
    const signal = this.begin();
    const watch = this.#watch(peer, options.owner);
    try {
      const stream = await peers.object(peer, this.#flight.key, range, { signal });
      if (stream) return void (await this.#take(peer, stream, options.owner));
      this.tried.push(`${labelOf(peer)}: does not have it`);
    } catch (error) {
      if (this.pull?.signal.aborted) return;
      this.note(peer, 'unreachable', error);
    } finally {
      watch?.cancel();
    }
    this.exclude.add(idOf(peer));
  }

  /** Takes a stream to its end. A source that fails is excluded for this flight. */
  async consume(
    peer: PeerAddress,
    stream: PieceStream,
    owner: Member | undefined,
  ): Promise<Outcome> {
    const watch = this.#watch(peer, owner);
    try {
      return await this.#take(peer, stream, owner);
    } finally {
      watch?.cancel();
    }
  }

  async #take(peer: PeerAddress, stream: PieceStream, owner: Member | undefined): Promise<Outcome> {
    this.#takeFrom('peer', labelOf(peer));
    this.rootHeardMs = this.#deps.clock.monotonicMs();
    const pull = this.pull;
    const { links } = this.#deps;
    links.began();
    try {
      while (this.open && (await this.#takeFrame(peer, stream)));
      // It gave what it was asked for, or all it had: nothing more is to be had from it.
      if (this.open) this.exclude.add(idOf(peer));
    } catch (error) {
      return pull?.signal.aborted ? 'ended' : this.#sourceFailed(peer, error);
    } finally {
      links.ended();
      this.#source = 'none';
      if (this.#flight.state === 'whole') stream.done();
      else stream.cancel();
    }
    if (owner && this.#flight.state === 'whole') this.#reports.whole(owner, peer);
    return 'ended';
  }

  async #takeFrame(peer: PeerAddress, stream: PieceStream): Promise<boolean> {
    const frame = await stream.next();
    if (frame === undefined) return false;
    switch (frame.type) {
      case 'meta':
        this.#flight.describe(frame.meta);
        return true;
      case 'piece':
        this.rootHeardMs = this.#deps.clock.monotonicMs();
        this.#reports.piece();
        this.#deps.links.note(frame.bytes.length);
        this.#deps.counters.add('received.bytes.peer', frame.bytes.length);
        await this.#flight.append(frame.index, frame.bytes, frame.hash);
        return true;
      case 'wait':
        this.rootHeardMs = this.#deps.clock.monotonicMs() - frame.ageMs;
        if (frame.ageMs <= this.#options.stallMs) return true;
        throw new HerdError('SOURCE_STALLED', `${labelOf(peer)} waits for somebody who is gone`);
      case 'end':
        await this.#flight.end();
        return false;
      case 'name':
        throw new HerdError('SOURCE_FAILED', `${labelOf(peer)} sent a name in the midst of pieces`);
      case 'fail':
        await this.#headFailed(HerdError.from(frame.error));
        return false;
    }
  }

  /** The peer is well, but whoever fetches for it got nothing, or something wrong. */
  async #headFailed(error: HerdError): Promise<void> {
    this.tried.push(`${this.source}: ${error.message}`);
    if (error.code === 'NOT_FOUND') this.definitive = error;
    else if (error.code === 'CONTENT_MISMATCH') await this.#flight.fail(error);
    else if (error.code === 'SHUTTING_DOWN') throw new HerdError('SOURCE_FAILED', error.message);
    else if (error.code === 'PASSED_ON') throw error;
    else throw new HerdError('NO_SOURCE', error.message);
  }

  /** Blames the peer, unless it is well and only says that upstream is out of reach. */
  #sourceFailed(peer: PeerAddress, error: unknown): Outcome {
    this.exclude.add(idOf(peer));
    const code = error instanceof HerdError ? error.code : 'INTERNAL';
    if (code === 'CONTENT_MISMATCH') {
      this.#deps.counters.add('pieces.bad');
      this.note(peer, 'corrupt', error);
    } else if (code === 'SOURCE_STALLED') {
      this.silent.add(idOf(peer));
      // Through a narrow link that is full anybody seems silent.
      if (!this.#deps.links.narrow) this.note(peer, 'stalled', error);
    } else if (code === 'PASSED_ON') return 'passed';
    else if (code === 'SOURCE_FAILED') this.note(peer, 'unreachable', error);
    else return 'told';
    return 'broken';
  }

  /** The owner knows when a source is not what it should be. */
  #watch(source: PeerAddress, owner: Member | undefined): Timer | undefined {
    const { pull } = this;
    return (
      owner &&
      this.#reports.watch(source, owner, (move) => {
        if (!this.open || this.pull !== pull) return;
        if (move === 'slow') this.#noteSlow(source);
        this.exclude.add(idOf(source));
        pull?.abort();
      })
    );
  }

  #noteSlow(source: PeerAddress): void {
    const { quietMs } = this.#reports;
    if (quietMs > REPORT_EVERY_MS) {
      this.note(source, 'stalled', `${labelOf(source)} gave nothing for ${quietMs} ms`);
    } else this.note(source, 'slow', `${labelOf(source)} gives less than it has`);
  }

  note(peer: PeerAddress, fault: Fault, error: unknown): undefined {
    if (this.#options.stop.aborted || this.pull?.signal.aborted) return undefined;
    const reason = reasonOf(error);
    this.tried.push(`${labelOf(peer)}: ${reason}`);
    const detail = `${reason} (${this.#flight.key.slice(0, 12)}…, piece ${this.#flight.pieces})`;
    this.#deps.fleet.blame({ id: idOf(peer), name: labelOf(peer) }, fault, detail);
    this.#deps.log.warn({ peer: labelOf(peer), fault, object: this.#flight.key }, reason);
    return undefined;
  }

  #takeFrom(kind: 'peer' | 'upstream', source: string): void {
    this.#source = source;
    this.sourceKind = kind;
    this.#sourced.resolve();
  }

  /** A fresh signal for the next source; ends with the feeder. */
  begin(): AbortSignal {
    this.pull = new AbortController();
    if (this.#options.stop.aborted) this.pull.abort();
    return this.pull.signal;
  }
}

/** An address found in the DHT may be that of nobody in the list. */
export function idOf(peer: PeerAddress): string {
  return peer.id ?? `${peer.address}:${peer.port}`;
}

function labelOf(peer: PeerAddress): string {
  return peer.name ?? `${peer.address}:${peer.port}`;
}

function refused(url: string, status: number): HerdError {
  const message = `upstream answered ${status} for ${url}`;
  if (status === 404 || status === 410) return new HerdError('NOT_FOUND', message, { status });
  if (status === 401 || status === 403)
    return new HerdError('UPSTREAM_DENIED', message, { status });
  return new HerdError('UPSTREAM_ERROR', message);
}
