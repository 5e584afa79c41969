// Asking upstream what a volatile name stands for: once at a time, and a file that takes long is
// given out as it comes in.
import type { Resolution } from '../catalog/catalog.ts';
import { digestOf } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import type { Flights } from '../fetch/flights.ts';
import type { Flight } from '../flight/flight.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Trace } from '../metrics/ways.ts';
import { type Clock, withDeadline } from '../platform/clock.ts';
import { Once } from '../platform/once.ts';
import { refusal } from '../transfer/upstream/upstream-source.ts';
import type { Upstream, UpstreamResponse } from '../transfer/upstream.ts';
import type { KnownNames, Named } from './known-names.ts';
import { NameFeeder } from './name-feeder.ts';

interface NameFetchDeps {
  readonly upstream: Upstream;
  readonly known: KnownNames;
  readonly flights: Flights;
  readonly counters: Counters;
  readonly clock: Clock;
}

interface Asking {
  /** For the fleet, as the owner of the name; else for this node alone, as its last resort. */
  readonly elected: boolean;
  readonly trace?: Trace | undefined;
}

/** A file that is not whole this long after its first byte is given out as it comes in. */
const STREAM_AFTER_MS = 500;

export class NameFetch {
  readonly #deps: NameFetchDeps;
  readonly #asking = new Once<Named>();
  /** Files that are coming in from upstream, given out as they come. */
  readonly #streaming = new Map<string, Named & { readonly kind: 'streaming' }>();
  /** Names whose file is brought whole, though nobody reads it yet. */
  readonly #kept = new Set<string>();

  constructor(deps: NameFetchDeps) {
    this.#deps = deps;
  }

  /** A file that has begun to come in. */
  streaming(url: string): Named | undefined {
    const streaming = this.#streaming.get(url);
    return streaming && this.#deps.flights.joinable(streaming.key) ? streaming : undefined;
  }

  /** A file that has begun to come in, or the answer that upstream owes. */
  underWay(url: string): Named | Promise<Named> | undefined {
    return this.streaming(url) ?? this.#asking.get(url);
  }

  /**
   * What upstream says now; `old` is what it said before. Throws HerdError UPSTREAM_DENIED and
   * UPSTREAM_ERROR for an answer that says nothing of the name, and whatever `Upstream` throws.
   */
  ask(url: string, old: Resolution | undefined, asking: Asking): Promise<Named> {
    return this.#asking.run(url, () => this.#ask(url, old, asking));
  }

  /** What upstream owes for `url` is brought whole: whoever asked for it has gone without. */
  keep(url: string): void {
    if (this.#asking.get(url)) this.#kept.add(url);
  }

  async #ask(url: string, old: Resolution | undefined, asking: Asking): Promise<Named> {
    const { upstream, known, counters } = this.#deps;
    const { elected, trace } = asking;
    this.#kept.delete(url);
    const pull = new AbortController();
    counters.add(elected ? 'upstream.requests.elected' : 'upstream.requests.unelected');
    const response = await upstream.fetch({
      url,
      immutable: false,
      hurried: old !== undefined,
      signal: pull.signal,
      trace,
      ...(old?.etag === undefined ? {} : { ifNoneMatch: old.etag }),
      ...(old?.lastModified === undefined ? {} : { ifModifiedSince: old.lastModified }),
    });
    const { status } = response;
    if (status === 304 && old) return known.confirm(url, old);
    if (status === 404 || status === 410) return known.confirm(url, { status, checkedAtMs: 0 });
    if (status !== 200) throw refusal(url, status);
    return await this.#takeBody(url, response, asking, pull);
  }

  async #takeBody(
    url: string,
    response: UpstreamResponse,
    asking: Asking,
    pull: AbortController,
  ): Promise<Named> {
    const { flights, clock } = this.#deps;
    if (isHtml(response.contentType) && !url.endsWith('/') && !url.endsWith('.html')) {
      endBody(response);
      const message = `upstream gave a web page for ${url}: a captive portal or an error page`;
      throw new HerdError('UPSTREAM_ERROR', message);
    }
    const key = `name-${digestOf(`${url}\n${response.etag ?? ''}\n${clock.nowMs()}`).slice(0, 40)}`;
    const boarding = await flights
      .launch(key, url, (flight) => this.#feederOf(flight, response, asking, pull))
      .catch((error) => {
        endBody(response);
        throw error;
      });
    const done = this.#whole(boarding.flight).then(() =>
      this.#named(url, boarding.flight, response),
    );
    let ended = false;
    const landed = done.finally(() => {
      ended = true;
      this.#streaming.delete(url);
    });
    landed.catch(() => {});
    // Those who wait for the answer hold it until they get one; then whoever reads it does.
    const named = await withDeadline(clock, landed, STREAM_AFTER_MS, undefined).finally(() => {
      if (this.#kept.has(url)) void landed.catch(() => {}).finally(() => boarding.leave());
      else boarding.leave();
    });
    if (named) return named;
    const streaming = { kind: 'streaming', key } as const;
    if (!ended) this.#streaming.set(url, streaming);
    return streaming;
  }

  #feederOf(
    flight: Flight,
    response: UpstreamResponse,
    { elected, trace }: Asking,
    pull: AbortController,
  ): NameFeeder {
    return new NameFeeder(this.#deps.flights.feedingDeps, flight, {
      begin: (feeding) => {
        const source = feeding.upstreamSource(elected);
        const stream = source.answered(response, 0);
        const cancel = () => {
          pull.abort();
          stream.cancel();
        };
        return {
          origin: source.origin,
          stream: { next: () => stream.next(), cancel, done: () => stream.done() },
        };
      },
      trace,
    });
  }

  /** Throws what it fails of, or that of who stopped it meanwhile. */
  async #whole(flight: Flight): Promise<void> {
    while (flight.state === 'running') await flight.changed();
    if (flight.error) throw flight.error;
  }

  #named(url: string, flight: Flight, response: UpstreamResponse): Named {
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

function isHtml(contentType: string | undefined): boolean {
  return contentType?.toLowerCase().startsWith('text/html') ?? false;
}
