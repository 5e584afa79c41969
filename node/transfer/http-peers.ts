// Peers over HTTP/1.1 and TLS-PSK.
import type { Member } from '../../tracker/protocol.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError } from '../errors.ts';
import { KiB, MiB, PROTOCOL_VERSION } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { PIECES_TYPE } from '../wire/frames.ts';
import { PeerClient } from '../wire/peer-client.ts';
import type { Exchange, PeerRequest } from '../wire/peer-exchange.ts';
import { type QuietGuard, QuietWatch } from '../wire/quiet-watch.ts';
import type { pskClientOptions } from '../wire/tls-psk.ts';
import { failure, HttpPieceStream } from './http-piece-stream.ts';
import {
  claimAnswerOf,
  membersOf,
  nameAnswerOf,
  progressAnswerOf,
  wantAnswerOf,
} from './peer-messages.ts';
import type {
  Claim,
  NameAnswer,
  NameQuery,
  PeerAddress,
  Peers,
  PieceStream,
  Progress,
  ProgressAnswer,
  Want,
  WantAnswer,
} from './peers.ts';

interface HttpPeersDeps {
  readonly pool: PiecePool;
  readonly clock: Clock;
  readonly tls: ReturnType<typeof pskClientOptions>;
}

interface HttpPeersOptions {
  /** To a listening socket and through the handshake. */
  readonly connectTimeoutMs: number;
  /** To the machine alone; longer than a lost SYN takes to be sent again (1 s, RFC 6298). */
  readonly reachMs: number;
  /** After this long without it, one more is tried beside it. */
  readonly connectRetryMs: number;
  /** Ticks of the quiet watch, in ms; those below count them. */
  readonly tickMs: number;
  /** From the request to the head of the answer. */
  readonly answerTicks: number;
  /** Of these: then it is looked whether the machine is still there. */
  readonly probeTicks: number;
  /**
   * Without any byte. Not without a whole frame: on a link that many share, a piece may take longer
   * than this. Who gives too little is found by what its readers report (delivery/swarm.ts).
   */
  readonly silenceTicks: number;
}

const defaults: HttpPeersOptions = {
  connectTimeoutMs: 15_000,
  reachMs: 2_500,
  connectRetryMs: 3_000,
  tickMs: 1_000,
  answerTicks: 10,
  probeTicks: 1,
  silenceTicks: 3,
};

/** Connections to a peer that is not kept and not asked for this long are closed. */
const IDLE_MS = 30_000;
const CONNECTIONS_PER_PEER = 32;
/** Not below the largest TLS record (RFC 8446, 5.1). */
const READ_BYTES = 16 * KiB;
/** Of an answer that is no piece stream; a list of thousands of members fits. */
const JSON_BYTES_MAX = 4 * MiB;
/** Memory of a part of it besides its bytes, roughly: one byte may come at a time. */
const PART_BYTES = 100;

interface Peer {
  readonly client: PeerClient;
  users: number;
  idle: Timer | undefined;
}

export class HttpPeers implements Peers {
  readonly #deps: HttpPeersDeps;
  readonly #options: HttpPeersOptions;
  readonly #peers = new Map<string, Peer>();
  #kept: ReadonlySet<string> = new Set();
  readonly #buffer = Buffer.alloc(READ_BYTES);
  readonly #watch: QuietWatch;

  constructor(deps: HttpPeersDeps, options: Partial<HttpPeersOptions> = {}) {
    this.#deps = deps;
    this.#options = { ...defaults, ...options };
    this.#watch = new QuietWatch(deps, this.#options);
  }

  async want(peer: PeerAddress, want: Want, signal: AbortSignal): Promise<WantAnswer> {
    const answer = await this.#open(peer, 'POST', '/v1/want', want, signal);
    if (answer.kind === 'stream') return answer;
    return checked(peer, wantAnswerOf, answer.value);
  }

  async object(
    peer: PeerAddress,
    key: string,
    range: { from: number; to?: number },
    signal: AbortSignal,
  ): Promise<PieceStream | undefined> {
    const to = range.to === undefined ? '' : `&to=${range.to}`;
    const path = `/v1/objects/${key}?from=${range.from}${to}`;
    const answer = await this.#open(peer, 'GET', path, undefined, signal);
    if (answer.kind === 'stream') return answer.stream;
    if (answer.value === undefined) return undefined;
    throw new HerdError('SOURCE_FAILED', `${nameOf(peer)} sent no pieces`);
  }

  async progress(
    peer: PeerAddress,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<ProgressAnswer> {
    const answer = await this.#json(peer, 'POST', '/v1/progress', progress, signal);
    return checked(peer, progressAnswerOf, answer);
  }

  async name(peer: PeerAddress, query: NameQuery, signal: AbortSignal): Promise<NameAnswer> {
    return checked(peer, nameAnswerOf, await this.#json(peer, 'POST', '/v1/name', query, signal));
  }

  async claim(peer: PeerAddress, claim: Claim, signal: AbortSignal): Promise<void> {
    checked(peer, claimAnswerOf, await this.#json(peer, 'POST', '/v1/claim', claim, signal));
  }

  async members(peer: PeerAddress, signal: AbortSignal): Promise<readonly Member[]> {
    return checked(
      peer,
      membersOf,
      await this.#json(peer, 'GET', '/v1/members', undefined, signal),
    );
  }

  /** Connections to these, and only these, stay open without use. */
  keep(peers: readonly PeerAddress[]): void {
    this.#kept = new Set(peers.map(keyOf));
    for (const [key, entry] of this.#peers) this.#rest(key, entry);
  }

  connected(peer: PeerAddress): boolean {
    return this.#peers.get(keyOf(peer))?.client.connected ?? false;
  }

  /** Leaves a connection behind, if it can; whoever needs it later hears why there is none. */
  async greet(peer: PeerAddress): Promise<void> {
    await this.#json(peer, 'GET', '/v1/hello', undefined, new AbortController().signal).catch(
      () => {},
    );
  }

  async close(): Promise<void> {
    for (const { client, idle } of this.#peers.values()) {
      idle?.cancel();
      client.close();
    }
    this.#peers.clear();
  }

  async #json(
    peer: PeerAddress,
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const answer = await this.#open(peer, method, path, body, signal);
    if (answer.kind === 'json') return answer.value;
    answer.stream.cancel();
    throw new HerdError('SOURCE_FAILED', `${nameOf(peer)} sent pieces where an answer was due`);
  }

  async #open(
    peer: PeerAddress,
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Answer> {
    const entry = this.#acquire(peer);
    const request: PeerRequest = {
      method,
      path,
      headers: { 'debherd-protocol': String(PROTOCOL_VERSION), 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    };
    const terms = { watch: this.#watch, pieces: this.#deps.pool, ...this.#options };
    const attempt = (fresh: boolean) => {
      return exchange(entry.client, request, fresh, nameOf(peer), signal, terms);
    };
    try {
      // A kept connection that the peer closed a moment ago: at once on a fresh one.
      const answer = await attempt(false).catch((error) => {
        if (!isReset(error) || signal.aborted) throw error;
        return attempt(true);
      });
      if (answer.kind === 'json') this.#release(peer, entry);
      else answer.stream.onClose(() => this.#release(peer, entry));
      return answer;
    } catch (error) {
      this.#release(peer, entry);
      throw error;
    }
  }

  #acquire(peer: PeerAddress): Peer {
    const key = keyOf(peer);
    let entry = this.#peers.get(key);
    if (!entry) {
      const { tls } = this.#deps;
      const { connectTimeoutMs, reachMs, connectRetryMs } = this.#options;
      const { address, port } = peer;
      const options = {
        address,
        port,
        tls,
        connectTimeoutMs,
        reachMs,
        retryMs: connectRetryMs,
        connectionsMax: CONNECTIONS_PER_PEER,
      };
      const client = new PeerClient(this.#deps, options, this.#buffer);
      entry = { client, users: 0, idle: undefined };
      this.#peers.set(key, entry);
    }
    entry.users++;
    entry.idle?.cancel();
    entry.idle = undefined;
    return entry;
  }

  #release(peer: PeerAddress, entry: Peer): void {
    entry.users--;
    const key = keyOf(peer);
    if (this.#peers.get(key) === entry) this.#rest(key, entry);
  }

  /** Closes what nobody uses, in time, unless it is kept. */
  #rest(key: string, entry: Peer): void {
    entry.idle?.cancel();
    entry.idle = undefined;
    if (entry.users > 0 || this.#kept.has(key)) return;
    entry.idle = this.#deps.clock.after(IDLE_MS, () => {
      this.#peers.delete(key);
      entry.client.close();
    });
  }
}

interface Terms {
  readonly pieces: PiecePool;
  readonly watch: QuietWatch;
  readonly answerTicks: number;
  readonly probeTicks: number;
  readonly silenceTicks: number;
}

type Answer =
  | { readonly kind: 'json'; readonly value: unknown }
  | { readonly kind: 'stream'; readonly stream: HttpPieceStream };

/** One request; resolves with the whole JSON answer, or as soon as a piece stream begins. */
function exchange(
  client: PeerClient,
  request: PeerRequest,
  fresh: boolean,
  peer: string,
  signal: AbortSignal,
  terms: Terms,
): Promise<Answer> {
  if (signal.aborted) return Promise.reject(new HerdError('SOURCE_FAILED', 'no longer wanted'));
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  let stream: HttpPieceStream | undefined;
  let status = 0;
  const chunks: Buffer[] = [];
  let size = 0;
  let quiet: QuietGuard | undefined;
  const onAbort = () => running.abort(new HerdError('SOURCE_FAILED', 'no longer wanted'));
  const silent = () => {
    // While we ourselves do not read, the peer cannot be heard.
    if (running.paused) return 'excused';
    running.abort(new HerdError('SOURCE_STALLED', `${peer} is silent`));
    return 'over';
  };
  const settle = () => {
    quiet?.end();
    signal.removeEventListener('abort', onAbort);
  };
  const running: Exchange = client.request(
    request,
    {
      started() {
        quiet = guardUnanswered(client, terms, silent);
      },
      head(code, headers) {
        status = code;
        quiet?.end();
        quiet = terms.watch.guard(terms.silenceTicks, silent);
        if (headers.get('content-type') !== PIECES_TYPE) return;
        stream = new HttpPieceStream(terms.pieces, peer, running, settle);
        resolve({ kind: 'stream', stream });
      },
      data(bytes) {
        quiet?.beat();
        if (stream) return stream.push(bytes);
        chunks.push(Buffer.from(bytes));
        size += bytes.length + PART_BYTES;
        if (size > JSON_BYTES_MAX) running.abort(failure(peer, 'an answer without end'));
      },
      end() {
        settle();
        if (stream) return stream.finish();
        try {
          const text = Buffer.concat(chunks).toString();
          resolve(answerOf(status, text === '' ? undefined : JSON.parse(text), peer));
        } catch (error) {
          reject(failure(peer, error));
        }
      },
      failed(error) {
        settle();
        if (stream) stream.fail(failure(peer, error));
        else reject(failure(peer, error));
      },
    },
    fresh,
  );
  signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}

/** Before a daemon that does not answer is given up, its machine is asked. */
function guardUnanswered(client: PeerClient, terms: Terms, silent: () => 'excused' | 'over') {
  const { watch, probeTicks, answerTicks } = terms;
  let probed = false;
  const guard: QuietGuard = watch.guard(probeTicks, () => {
    if (probed) return silent();
    probed = true;
    client.probe();
    guard.allow(answerTicks - probeTicks);
    return 'excused';
  });
  return guard;
}

function answerOf(status: number, value: unknown, peer: string): Answer {
  if (status === 404) return { kind: 'json', value: undefined };
  if (status < 300) return { kind: 'json', value };
  const { message } = (value ?? {}) as { message?: unknown };
  throw new HerdError('SOURCE_FAILED', `${peer} answered ${status}: ${String(message ?? '')}`);
}

/** An answer as `parse` reads it. */
function checked<T>(peer: PeerAddress, parse: (value: unknown) => T, value: unknown): T {
  try {
    return parse(value);
  } catch (error) {
    throw failure(nameOf(peer), error);
  }
}

function isReset(error: unknown): boolean {
  const cause = error instanceof HerdError ? error.cause : error;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function nameOf(peer: PeerAddress): string {
  return peer.name ?? `${peer.address}:${peer.port}`;
}

function keyOf(peer: PeerAddress): string {
  return `${peer.address} ${peer.port}`;
}
