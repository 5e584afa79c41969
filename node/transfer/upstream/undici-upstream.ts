// Upstream over undici: redirects by hand, retries, resume by range, a cap of connections per host.
import type { SecureContext } from 'node:tls';
import { wireUrl } from '../../apt/canonical-url.ts';
import { HerdError } from '../../errors.ts';
import { type Clock, sleep } from '../../platform/clock.ts';
import type { Random } from '../../platform/random.ts';
import { Agent, type Dispatcher, Pool } from '../../wire/http-client.ts';
import { systemTrust } from '../../wire/system-trust.ts';
import type { Upstream, UpstreamRequest, UpstreamResponse } from '../upstream.ts';
import { guardedLookup, type ResolveAll } from './guarded-lookup.ts';
import { type OpenBody, ResumingBody } from './resuming-body.ts';
import { failureOf, isPassingStatus, retryAfterMs, UpstreamFailure } from './upstream-failure.ts';
import type { UpstreamGuard } from './upstream-guard.ts';

interface UndiciUpstreamDeps {
  readonly guard: UpstreamGuard;
  readonly clock: Clock;
  readonly random: Random;
  /** Instead of the system's resolver, for tests. */
  readonly resolve?: ResolveAll;
}

export interface UndiciUpstreamOptions {
  readonly version: string;
  /** At most so many connections to one origin; more requests wait their turn. */
  readonly connectionsPerHost: number;
  readonly connectTimeoutMs: number;
  /** Time to the first byte of an answer; under apt's own 30 s (Acquire::http::Timeout). */
  readonly headersTimeoutMs: number;
  /** A connection that brings no byte for so long is given up and resumed on another. */
  readonly bodyTimeoutMs: number;
  /** Total wait for one more byte of a body, over all its connections. */
  readonly noProgressMs: number;
  /** A new attempt before the first byte begins only within this time. */
  readonly retryBudgetMs: number;
  readonly attemptsMax: number;
  /** First pause between attempts; doubles each time, with jitter. */
  readonly backoffMs: number;
  readonly redirectsMax: number;
}

export const undiciUpstreamDefaults: Omit<UndiciUpstreamOptions, 'version'> = {
  connectionsPerHost: 8,
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 25_000,
  bodyTimeoutMs: 12_000,
  noProgressMs: 25_000,
  retryBudgetMs: 12_000,
  attemptsMax: 5,
  backoffMs: 250,
  redirectsMax: 5,
};

interface Place {
  readonly position: number;
  /** For If-Range: a strong ETag or a date. */
  readonly validator?: string | undefined;
  readonly headersTimeoutMs: number;
}

interface Answer extends OpenBody {
  readonly status: number;
  readonly url: URL;
  readonly headers: Dispatcher.ResponseData['headers'];
  drop(): void;
}

type Headers = Dispatcher.ResponseData['headers'];

export class UndiciUpstream implements Upstream {
  readonly #deps: UndiciUpstreamDeps;
  readonly #options: UndiciUpstreamOptions;
  readonly #agent: Agent;
  #trust: SecureContext | undefined;

  constructor(
    deps: UndiciUpstreamDeps,
    options: Pick<UndiciUpstreamOptions, 'version'> & Partial<UndiciUpstreamOptions>,
  ) {
    this.#deps = deps;
    this.#options = { ...undiciUpstreamDefaults, ...options };
    this.#agent = new Agent({ factory: (origin) => this.#pool(new URL(origin)) });
  }

  async fetch(request: UpstreamRequest): Promise<UpstreamResponse> {
    // Bytes that may have changed cannot be continued without their validator: start over.
    const from = request.immutable ? (request.from ?? 0) : 0;
    const answer = await this.#openWithRetries(request, from);
    const { status, headers } = answer;
    const good = status === 200 || status === 206;
    if (!good) answer.drop();
    return {
      status: good ? 200 : status,
      from: good ? answer.from : 0,
      ...(good && answer.size !== undefined ? { size: answer.size } : {}),
      ...optional('lastModified', single(headers['last-modified'])),
      ...optional('etag', single(headers.etag)),
      ...optional('contentType', single(headers['content-type'])),
      body: good ? this.#resuming(request, answer) : nothing(),
    };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #pool(origin: URL): Pool {
    const { connectionsPerHost, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs } = this.#options;
    const lookup = guardedLookup(
      (address) => this.#deps.guard.address(origin, address),
      this.#deps.resolve,
    );
    return new Pool(origin, {
      connections: connectionsPerHost,
      pipelining: 1,
      allowH2: false,
      headersTimeout: headersTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
      connect: { timeout: connectTimeoutMs, lookup, autoSelectFamily: true, ...this.#tls(origin) },
    });
  }

  /** One context for all https archives, made when the first is asked. */
  #tls({ protocol }: URL) {
    if (protocol !== 'https:') return {};
    this.#trust ??= systemTrust();
    return { secureContext: this.#trust };
  }

  async #openWithRetries(request: UpstreamRequest, from: number): Promise<Answer> {
    const { clock } = this.#deps;
    const { headersTimeoutMs, retryBudgetMs } = this.#options;
    const attemptsMax = request.hurried ? 2 : this.#options.attemptsMax;
    const begin = clock.monotonicMs();
    const tried: string[] = [];
    for (let attempt = 1; ; attempt++) {
      const elapsed = clock.monotonicMs() - begin;
      try {
        const timeLeft = Math.max(1_000, headersTimeoutMs - elapsed);
        const place = { position: from, headersTimeoutMs: Math.min(headersTimeoutMs, timeLeft) };
        const answer = await this.#attempt(request, place);
        if (answer.status !== 416 || from === 0) return answer;
        answer.drop();
        from = 0;
      } catch (thrown) {
        if (request.signal?.aborted) throw request.signal.reason;
        const failure = failureOf(thrown, new URL(request.url).host);
        tried.push(`upstream: ${failure.message}`);
        const pauseMs = this.#pauseMs(failure, attempt);
        const spent = clock.monotonicMs() - begin + pauseMs;
        if (failure.retry === 'never' || attempt >= attemptsMax || spent > retryBudgetMs) {
          const { code, message, status } = failure.error;
          throw new HerdError(code, message, { cause: failure.error, status, tried });
        }
        await sleep(clock, pauseMs, request.signal);
      }
    }
  }

  /** One attempt, redirects followed. Throws UpstreamFailure, HerdError or the client's errors. */
  async #attempt(request: UpstreamRequest, place: Place): Promise<Answer> {
    const first = new URL(request.url);
    let url = new URL(wireUrl(request.url));
    for (let hop = 0; hop <= this.#options.redirectsMax; hop++) {
      const reason = this.#deps.guard.url(url);
      if (reason !== undefined) throw new HerdError('FORBIDDEN_HOST', reason);
      const sinceMs = this.#deps.clock.monotonicMs();
      const response = await this.#agent
        .request({
          origin: url.origin,
          path: url.pathname + url.search,
          method: 'GET',
          headers: this.#headers(request, place, url.origin === first.origin),
          headersTimeout: place.headersTimeoutMs,
          ...(request.signal ? { signal: request.signal } : {}),
        })
        .catch((thrown) => {
          throw failureOf(thrown, url.host);
        });
      response.body.on('error', () => {});
      request.trace?.note({
        what: 'upstream',
        host: url.host,
        status: response.statusCode,
        tookMs: Math.round(this.#deps.clock.monotonicMs() - sinceMs),
      });
      const next = redirectTarget(response, url);
      if (next === undefined) return this.#judge(response, url, place);
      drop(response);
      url = next;
    }
    throw new HerdError('UPSTREAM_ERROR', `${first.host} redirects in a loop, last to ${url.href}`);
  }

  #headers(request: UpstreamRequest, place: Place, sameOrigin: boolean): Record<string, string> {
    const { position, validator } = place;
    return {
      'user-agent': `debherd/${this.#options.version}`,
      accept: '*/*',
      'accept-encoding': 'identity',
      ...(position > 0 ? { range: `bytes=${position}-` } : {}),
      ...(position > 0 && validator !== undefined ? { 'if-range': validator } : {}),
      ...(request.ifNoneMatch ? { 'if-none-match': request.ifNoneMatch } : {}),
      ...(request.ifModifiedSince ? { 'if-modified-since': request.ifModifiedSince } : {}),
      ...(request.authorization && sameOrigin ? { authorization: request.authorization } : {}),
    };
  }

  /** Turns a response into an answer, or throws what is wrong with it. */
  #judge(response: Dispatcher.ResponseData, url: URL, place: Place): Answer {
    const { statusCode: status, headers } = response;
    const base = {
      status,
      url,
      headers,
      chunks: response.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>,
      drop: () => drop(response),
      end: () => void response.body.destroy(),
    };
    if (status === 200) return { ...base, from: 0, ...optional('size', lengthOf(headers)) };
    if (status === 206) {
      const range = contentRange(headers);
      if (range?.start === place.position && place.position > 0) {
        return { ...base, from: range.start, ...optional('size', range.size) };
      }
      response.body.destroy();
      throw new HerdError('UPSTREAM_ERROR', `${url.host} gives another range than asked for`);
    }
    if (status < 500 && status !== 429) return { ...base, from: 0 };
    drop(response);
    const error = new HerdError('UPSTREAM_ERROR', `${url.host} answers ${status}`);
    const afterMs = retryAfterMs(headers['retry-after'], this.#deps.clock.nowMs());
    throw new UpstreamFailure(error, isPassingStatus(status) ? 'later' : 'never', afterMs);
  }

  #resuming(request: UpstreamRequest, answer: Answer): ResumingBody {
    const validator = request.immutable ? undefined : validatorOf(answer.headers);
    const { noProgressMs, attemptsMax, headersTimeoutMs } = this.#options;
    const { clock } = this.#deps;
    return new ResumingBody(
      answer,
      {
        clock,
        reopen: async (position, attempt, why, leftMs) => {
          await sleep(clock, Math.min(this.#pauseMs(why, attempt), leftMs), request.signal);
          request.signal?.throwIfAborted();
          const timeLeft = Math.max(1, Math.min(headersTimeoutMs, leftMs));
          const { ifNoneMatch: _etag, ifModifiedSince: _date, ...plain } = request;
          const again = await this.#attempt(plain, {
            position,
            validator,
            headersTimeoutMs: timeLeft,
          });
          if (again.status === 200 || again.status === 206) return again;
          again.drop();
          const message = `${again.url.host} answers ${again.status} in the middle of a file`;
          throw new HerdError('UPSTREAM_ERROR', message);
        },
      },
      {
        host: answer.url.host,
        immutable: request.immutable,
        resumable: request.immutable || validator !== undefined,
        noProgressMs,
        attemptsMax,
        signal: request.signal,
      },
    );
  }

  #pauseMs(failure: UpstreamFailure, attempt: number): number {
    if (failure.retry === 'now' && attempt === 1) return 0;
    const backoff = this.#options.backoffMs * 2 ** (attempt - 1);
    return Math.max(failure.afterMs, backoff * (0.5 + this.#deps.random.next()));
  }
}

async function* nothing(): AsyncGenerator<Buffer> {}

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [key in K]?: V };
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0];
}

/** Reads a small rest so that the connection can be used again, or closes it. */
function drop(response: Dispatcher.ResponseData): void {
  response.body.dump().catch(() => {});
}

function redirectTarget(response: Dispatcher.ResponseData, url: URL): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(response.statusCode)) return undefined;
  const location = response.headers.location;
  const next = typeof location === 'string' ? URL.parse(location, url.href) : null;
  if (next === null) {
    drop(response);
    throw new HerdError('UPSTREAM_ERROR', `${url.host} redirects to nowhere`);
  }
  if (url.protocol === 'https:' && next.protocol === 'http:') {
    drop(response);
    throw new HerdError('UPSTREAM_ERROR', `${url.host} redirects from https to http`);
  }
  next.username = '';
  next.password = '';
  return next;
}

function lengthOf(headers: Headers): number | undefined {
  const text = headers['content-length'];
  if (typeof text !== 'string' || !/^\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}

function contentRange(headers: Headers): { start: number; size: number | undefined } | undefined {
  const text = headers['content-range'];
  const match = typeof text === 'string' ? /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(text) : null;
  if (!match) return undefined;
  return { start: Number(match[1]), size: match[2] === '*' ? undefined : Number(match[2]) };
}

function validatorOf(headers: Headers): string | undefined {
  const { etag } = headers;
  if (typeof etag === 'string' && etag.startsWith('"')) return etag;
  const lastModified = headers['last-modified'];
  return typeof lastModified === 'string' ? lastModified : undefined;
}
