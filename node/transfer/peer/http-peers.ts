// Peers over HTTP/1.1 and TLS-PSK.
import type { Member } from '../../../tracker/protocol.ts';
import type { PiecePool } from '../../content/piece-pool.ts';
import { HerdError } from '../../errors.ts';
import { KiB, PROTOCOL_VERSION } from '../../limits.ts';
import type { Call } from '../../metrics/ways.ts';
import type { Clock, Timer } from '../../platform/clock.ts';
import type { Credentials } from '../../wire/credentials.ts';
import { PeerClient } from '../../wire/peer-client.ts';
import type { PeerRequest } from '../../wire/peer-exchange.ts';
import { protocolsOf, sharedProtocol } from '../../wire/protocol.ts';
import { QuietWatch } from '../../wire/quiet-watch.ts';
import type {
  Claim,
  Hello,
  NameAnswer,
  NameQuery,
  PeerAddress,
  Peers,
  PieceStream,
  Progress,
  ProgressAnswer,
  Want,
  WantAnswer,
} from '../peers.ts';
import { type Answer, exchange, type Patience } from './http-exchange.ts';
import { failure } from './http-piece-stream.ts';
import {
  claimAnswerOf,
  helloOf,
  membersOf,
  nameAnswerOf,
  progressAnswerOf,
  wantAnswerOf,
} from './peer-messages.ts';

interface HttpPeersDeps {
  readonly pool: PiecePool;
  readonly clock: Clock;
  readonly credentials: Credentials;
}

interface HttpPeersOptions extends Patience {
  /** To a listening socket and through the handshake. */
  readonly connectTimeoutMs: number;
  /** To the machine alone; longer than a lost SYN takes to be sent again (1 s, RFC 6298). */
  readonly reachMs: number;
  /** After this long without it, one more is tried beside it. */
  readonly connectRetryMs: number;
  /** Of the quiet watch. */
  readonly tickMs: number;
  /** The newest that this node speaks. */
  readonly protocol: number;
}

const defaults: HttpPeersOptions = {
  connectTimeoutMs: 15_000,
  reachMs: 2_500,
  connectRetryMs: 3_000,
  tickMs: 1_000,
  protocol: PROTOCOL_VERSION,
  answerTicks: 10,
  answerProbeTicks: 1,
  silenceTicks: 8,
  silenceProbeTicks: 2,
};

/** Connections to a peer that is not kept and not asked for this long are closed. */
const IDLE_MS = 30_000;
const CONNECTIONS_PER_PEER = 32;
/** Not below the largest TLS record (RFC 8446, 5.1). */
const READ_BYTES = 16 * KiB;

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

  async want(peer: PeerAddress, want: Want, call: Call): Promise<WantAnswer> {
    const answer = await this.#open(peer, 'POST', '/v1/want', want, call);
    if (answer.kind === 'stream') return answer;
    return checked(peer, wantAnswerOf, answer.value);
  }

  async object(
    peer: PeerAddress,
    key: string,
    range: { from: number; to?: number },
    call: Call,
  ): Promise<PieceStream | undefined> {
    const to = range.to === undefined ? '' : `&to=${range.to}`;
    const path = `/v1/objects/${key}?from=${range.from}${to}`;
    const answer = await this.#open(peer, 'GET', path, undefined, call);
    if (answer.kind === 'stream') return answer.stream;
    if (answer.value === undefined) return undefined;
    throw new HerdError('SOURCE_FAILED', `${nameOf(peer)} sent no pieces`);
  }

  async progress(peer: PeerAddress, progress: Progress, call: Call): Promise<ProgressAnswer> {
    const answer = await this.#json(peer, 'POST', '/v1/progress', progress, call);
    return checked(peer, progressAnswerOf, answer);
  }

  async name(peer: PeerAddress, query: NameQuery, call: Call): Promise<NameAnswer> {
    const answer = await this.#open(peer, 'POST', '/v1/name', query, call);
    if (answer.kind === 'json') return checked(peer, nameAnswerOf, answer.value);
    return await this.#nameBefore(peer, answer.stream);
  }

  /** The answer at the head of a stream. */
  async #nameBefore(peer: PeerAddress, stream: PieceStream): Promise<NameAnswer> {
    try {
      const frame = await stream.next();
      const value = frame?.type === 'name' ? frame.answer : undefined;
      const answer = checked(peer, nameAnswerOf, value);
      if (answer.kind === 'resolved') return { ...answer, stream };
      throw new HerdError('SOURCE_FAILED', `${nameOf(peer)} sent pieces of a name without any`);
    } catch (error) {
      stream.cancel();
      throw error;
    }
  }

  async claim(peer: PeerAddress, claim: Claim, call: Call): Promise<void> {
    checked(peer, claimAnswerOf, await this.#json(peer, 'POST', '/v1/claim', claim, call));
  }

  async members(peer: PeerAddress, call: Call): Promise<readonly Member[]> {
    return checked(peer, membersOf, await this.#json(peer, 'GET', '/v1/members', undefined, call));
  }

  async hello(peer: PeerAddress, call: Call): Promise<Hello> {
    return checked(peer, helloOf, await this.#json(peer, 'GET', '/v1/hello', undefined, call));
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
    await this.hello(peer, { signal: new AbortController().signal }).catch(() => {});
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
    call: Call,
  ): Promise<unknown> {
    const answer = await this.#open(peer, method, path, body, call);
    if (answer.kind === 'json') return answer.value;
    answer.stream.cancel();
    throw new HerdError('SOURCE_FAILED', `${nameOf(peer)} sent pieces where an answer was due`);
  }

  async #open(
    peer: PeerAddress,
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    call: Call,
  ): Promise<Answer> {
    const { signal, trace } = call;
    const protocol = this.#protocolWith(peer);
    const entry = this.#acquire(peer);
    const request: PeerRequest = {
      method,
      path,
      headers: {
        'debherd-protocol': String(protocol),
        'content-type': 'application/json',
        ...(trace ? { 'debherd-request': trace.id } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    };
    const deps = { client: entry.client, pool: this.#deps.pool, watch: this.#watch };
    const terms = { ...this.#options, peer: nameOf(peer), signal };
    const attempt = (fresh: boolean) => exchange(deps, request, { ...terms, fresh });
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

  /** Throws SOURCE_FAILED where there is none. */
  #protocolWith(peer: PeerAddress): number {
    const { protocol: own } = this.#options;
    // Of a peer that is in no list; in the midst of an upgrade most others are as old.
    if (peer.protocol === undefined) return protocolsOf(own).at(-1)!;
    const shared = sharedProtocol(own, peer.protocol);
    if (shared !== undefined) return shared;
    const message = `${nameOf(peer)} speaks protocol ${peer.protocol}, this node ${own}`;
    throw new HerdError('SOURCE_FAILED', message);
  }

  #acquire(peer: PeerAddress): Peer {
    const key = keyOf(peer);
    let entry = this.#peers.get(key);
    if (!entry) {
      const { connectTimeoutMs, reachMs, connectRetryMs } = this.#options;
      const { address, port } = peer;
      const options = {
        address,
        port,
        tls: this.#deps.credentials.client(address),
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
