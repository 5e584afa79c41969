// Asking upstream what a volatile name stands for: once at a time, and a file that takes long is
// given out as it comes in.
import type { Resolution } from '../catalog/catalog.ts';
import { digestOf } from '../content/digest.ts';
import type { PiecePool } from '../content/piece-pool.ts';
import { HerdError } from '../errors.ts';
import { PieceAssembler } from '../fetch/assembler.ts';
import type { Flights } from '../fetch/flights.ts';
import type { Flight } from '../flight/flight.ts';
import type { Counters } from '../metrics/counters.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import { Once } from '../platform/once.ts';
import type { Upstream, UpstreamResponse } from '../transfer/upstream.ts';
import type { KnownNames, Named } from './known-names.ts';

interface NameFetchDeps {
  readonly upstream: Upstream;
  readonly known: KnownNames;
  readonly flights: Flights;
  readonly pool: PiecePool;
  readonly garbage: Garbage;
  readonly counters: Counters;
  readonly clock: Clock;
}

/** A file that is not whole this long after its first byte is given out as it comes in. */
const STREAM_AFTER_MS = 500;

export class NameFetch {
  readonly #deps: NameFetchDeps;
  readonly #asking = new Once<Named>();
  /** Files that are coming in from upstream, given out as they come. */
  readonly #streaming = new Map<string, Named>();

  constructor(deps: NameFetchDeps) {
    this.#deps = deps;
  }

  /** A file that has begun to come in. */
  streaming(url: string): Named | undefined {
    return this.#streaming.get(url);
  }

  /** A file that has begun to come in, or the answer that upstream owes. */
  underWay(url: string): Named | Promise<Named> | undefined {
    return this.#streaming.get(url) ?? this.#asking.get(url);
  }

  /**
   * What upstream says now; `old` is what it said before. Throws HerdError UPSTREAM_DENIED and
   * UPSTREAM_ERROR for an answer that says nothing of the name, and whatever `Upstream` throws.
   */
  ask(url: string, old: Resolution | undefined): Promise<Named> {
    return this.#asking.run(url, () => this.#ask(url, old));
  }

  async #ask(url: string, old: Resolution | undefined): Promise<Named> {
    const { upstream, known, counters } = this.#deps;
    counters.add('upstream.requests.elected');
    const response = await upstream.fetch({
      url,
      immutable: false,
      hurried: old !== undefined,
      ...(old?.etag === undefined ? {} : { ifNoneMatch: old.etag }),
      ...(old?.lastModified === undefined ? {} : { ifModifiedSince: old.lastModified }),
    });
    if (response.status === 304 && old) return known.confirm(url, old);
    if (response.status === 404 || response.status === 410) {
      return known.confirm(url, { status: response.status, checkedAtMs: 0 });
    }
    if (response.status !== 200) {
      const message = `upstream answered ${response.status} for ${url}`;
      const denied = response.status === 401 || response.status === 403;
      throw new HerdError(denied ? 'UPSTREAM_DENIED' : 'UPSTREAM_ERROR', message);
    }
    return await this.#takeBody(url, response);
  }

  async #takeBody(url: string, response: UpstreamResponse): Promise<Named> {
    const { flights, clock } = this.#deps;
    if (isHtml(response.contentType) && !url.endsWith('/') && !url.endsWith('.html')) {
      endBody(response);
      const message = `upstream gave a web page for ${url}: a captive portal or an error page`;
      throw new HerdError('UPSTREAM_ERROR', message);
    }
    const key = `name-${digestOf(`${url}\n${response.etag ?? ''}\n${clock.nowMs()}`).slice(0, 40)}`;
    const boarding = await flights.launch(key, url).catch((error) => {
      endBody(response);
      throw error;
    });
    const { flight } = boarding;
    flight.describe(metaOf(response));
    let ended = false;
    const done = this.#feed(flight, response)
      .then(() => this.#named(url, flight, response))
      .finally(() => {
        ended = true;
        this.#streaming.delete(url);
        boarding.leave();
      });
    done.catch(() => {});
    const named = await withDeadline(clock, done, STREAM_AFTER_MS, undefined);
    if (named) return named;
    const streaming = { kind: 'streaming', key } as const;
    if (!ended) this.#streaming.set(url, streaming);
    return streaming;
  }

  async #feed(flight: Flight, response: UpstreamResponse): Promise<void> {
    const { counters } = this.#deps;
    const assembler = new PieceAssembler(this.#deps.pool);
    try {
      for await (const chunk of response.body) {
        counters.add('received.bytes.upstream.elected', chunk.length);
        this.#deps.garbage.note(chunk.length);
        counters.add('unique.bytes', chunk.length);
        for (const piece of assembler.push(chunk)) await flight.append(flight.pieces, piece);
        if (flight.error) break;
      }
      const rest = assembler.rest();
      if (rest) await flight.append(flight.pieces, rest);
      await flight.end();
    } catch (error) {
      if (!flight.error) counters.add('upstream.errors');
      await flight.fail(HerdError.of(error));
    }
    // Its own, or that of who stopped it meanwhile: then upstream is not to blame.
    if (flight.error) throw flight.error;
  }

  async #named(url: string, flight: Flight, response: UpstreamResponse): Promise<Named> {
    const { lastModified, etag, contentType } = response;
    return this.#deps.known.confirm(url, {
      status: 200,
      ...(flight.digest === undefined ? {} : { digest: flight.digest }),
      size: flight.bytes,
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(etag === undefined ? {} : { etag }),
      ...(contentType === undefined ? {} : { contentType }),
      checkedAtMs: 0,
    });
  }
}

/** Lets go of the connection behind a body that nobody reads. */
function endBody({ body }: UpstreamResponse): void {
  void body[Symbol.asyncIterator]().return?.();
}

function metaOf({ size, lastModified, contentType }: UpstreamResponse) {
  return {
    ...(size === undefined ? {} : { size }),
    ...(lastModified === undefined ? {} : { lastModified }),
    ...(contentType === undefined ? {} : { contentType }),
  };
}

function isHtml(contentType: string | undefined): boolean {
  return contentType?.toLowerCase().startsWith('text/html') ?? false;
}
