// A node's side of one tracker: announces the node and follows the list, for ever.
import { HerdError, reasonOf } from '../node/errors.ts';
import { type Clock, sleep } from '../node/platform/clock.ts';
import type { Log } from '../node/platform/log.ts';
import type { Random } from '../node/platform/random.ts';
import type { Credentials } from '../node/wire/credentials.ts';
import { Pool } from '../node/wire/http-client.ts';
import { protocolsOf } from '../node/wire/protocol.ts';
import type { AnnounceAnswer, Announcement, Member, MemberChange, Vitals } from './protocol.ts';
import { parseChange } from './validate.ts';

const ANSWER_MS = 5000;
// Two heartbeats and a half without a byte: the tracker's machine is gone.
const SILENCE_MS = 25_000;
const RETRY_FIRST_MS = 200;
const RETRY_MAX_MS = 5000;
const LINE_MAX = 16 * 1024 * 1024;

export interface TrackerClientDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What to announce, asked each time. */
  describe(): { member: Member; vitals: Vitals };
  /** How the tracker sees this node, after each announcement. */
  onAnswer?(answer: AnnounceAnswer): void;
  onChange(change: MemberChange): void;
  /** The stream of changes ended; it is opened again. */
  onDown(): void;
  /** A request went out, or an answer or a line of the list came in. */
  onMessage?(): void;
}

export interface TrackerClientOptions {
  /** `https://host:port`; a scheme is not needed. */
  readonly url: string;
  readonly credentials: Credentials;
}

export class TrackerClient {
  readonly url: string;
  readonly #deps: TrackerClientDeps;
  readonly #pool: Pool;
  readonly #closing = new AbortController();
  #connected = false;
  /** What the tracker turned out to speak, until the stream ends: it may be upgraded then. */
  #protocol: number | undefined;
  #failures = 0;
  #running: Promise<void> | undefined;

  constructor(deps: TrackerClientDeps, options: TrackerClientOptions) {
    this.#deps = deps;
    this.url = trackerOrigin(options.url);
    const host = new URL(this.url).hostname;
    this.#pool = new Pool(this.url, {
      connect: { ...options.credentials.client(host), timeout: ANSWER_MS },
      connections: 2,
      headersTimeout: ANSWER_MS,
      bodyTimeout: SILENCE_MS,
      keepAliveTimeout: 60_000,
    });
  }

  /** True while changes come in. */
  get connected(): boolean {
    return this.#connected;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Announces now, for example because the member's description changed. Never throws. */
  async announce(): Promise<void> {
    await this.#announce().catch((error) => this.#report(error));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#pool.destroy();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const session = new AbortController();
      try {
        const { intervalMs } = await this.#announce();
        void this.#keepAnnouncing(intervalMs, session.signal);
        await this.#follow(signal);
      } catch (error) {
        if (!signal.aborted) this.#report(error);
      } finally {
        session.abort();
        this.#protocol = undefined;
        this.#down();
      }
      await this.#pause();
    }
  }

  async #announce(): Promise<AnnounceAnswer> {
    const described = this.#deps.describe();
    const [own, before] = protocolsOf(described.member.protocol) as [number, number?];
    try {
      return await this.#post({ protocol: this.#protocol ?? own, ...described });
    } catch (refusal) {
      const settled = before === undefined || this.#protocol !== undefined;
      if (settled || !isRefusal(refusal)) throw refusal;
      const older = this.#post({ protocol: before, ...described });
      const answer = await older.catch(() => Promise.reject(refusal));
      this.#protocol = before;
      return answer;
    }
  }

  async #post(announcement: Announcement): Promise<AnnounceAnswer> {
    this.#deps.onMessage?.();
    const { statusCode, body } = await this.#pool.request({
      path: '/v1/announce',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(announcement),
      signal: this.#closing.signal,
    });
    const answer = (await body.json()) as object;
    this.#deps.onMessage?.();
    if (statusCode !== 200) throw HerdError.from(answer);
    this.#deps.onAnswer?.(answer as AnnounceAnswer);
    return answer as AnnounceAnswer;
  }

  // Spread evenly by chance, so that sixty members of one start do not announce in step.
  async #keepAnnouncing(firstIntervalMs: number, signal: AbortSignal): Promise<void> {
    let intervalMs = firstIntervalMs;
    while (!signal.aborted) {
      await sleep(this.#deps.clock, intervalMs * (0.8 + 0.2 * this.#deps.random.next()), signal);
      if (signal.aborted) return;
      try {
        ({ intervalMs } = await this.#announce());
      } catch (error) {
        this.#deps.log.debug({ url: this.url, reason: reasonOf(error) }, 'announcement failed');
      }
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { id } = this.#deps.describe().member;
    this.#deps.onMessage?.();
    const { statusCode, body } = await this.#pool.request({
      path: `/v1/members?follow=1&id=${id}`,
      method: 'GET',
      signal,
    });
    if (statusCode !== 200) throw HerdError.from((await body.json()) as object);
    for await (const line of lines(body)) {
      this.#deps.onMessage?.();
      if (line === '') continue;
      const change = parseChange(JSON.parse(line));
      if (change === undefined) throw new HerdError('BAD_REQUEST', 'not a member list');
      this.#up();
      this.#deps.onChange(change);
    }
  }

  #up(): void {
    if (this.#connected) return;
    this.#connected = true;
    this.#failures = 0;
    this.#deps.log.info({ url: this.url }, 'tracker connected');
  }

  #down(): void {
    if (!this.#connected) return;
    this.#connected = false;
    if (!this.#closing.signal.aborted) {
      this.#deps.log.warn({ url: this.url }, 'tracker lost; going on with the last list');
    }
    this.#deps.onDown();
  }

  // Once, not at each of the many tries while a tracker is away.
  #report(error: unknown): void {
    // That one is lost is told when its stream has ended.
    if (this.#failures > 0 || this.#connected) return;
    this.#deps.log.warn({ url: this.url, reason: reasonOf(error) }, 'tracker does not answer');
  }

  async #pause(): Promise<void> {
    const limit = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures++);
    const delayMs = limit * (0.5 + 0.5 * this.#deps.random.next());
    await sleep(this.#deps.clock, delayMs, this.#closing.signal);
  }
}

/** A tracker of the version before knows no newer number, and says no more than that it is bad. */
function isRefusal(error: unknown): boolean {
  return error instanceof HerdError && error.code === 'BAD_REQUEST';
}

/** `host:port` or a URL, as an origin. Throws HerdError BAD_REQUEST. */
export function trackerOrigin(text: string): string {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `https://${text}`);
  if (url === null || url.port === '') {
    throw new HerdError('BAD_REQUEST', `tracker "${text}" is not a URL like https://host:3144`);
  }
  return `https://${url.host}`;
}

async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = parts.pop()!;
    if (rest.length > LINE_MAX) throw new HerdError('BAD_REQUEST', 'member list too long');
    yield* parts;
  }
}
