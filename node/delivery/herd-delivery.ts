// The way of a GET: from a URL to bytes, for the clients of this node.
import { classify } from '../apt/classify.ts';
import type { CatalogEntry } from '../catalog/catalog.ts';
import type { Digest } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import type { Flights } from '../fetch/flights.ts';
import type { Hint } from '../fetch/object-task.ts';
import type { Flight } from '../flight/flight.ts';
import type { Counters } from '../metrics/counters.ts';
import type { Named } from '../names/known-names.ts';
import type { Names } from '../names/names.ts';
import type { Clock } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import { checkedObject } from '../store/checked-object.ts';
import type { ObjectReader, Store } from '../store/store.ts';
import type { Upstream } from '../transfer/upstream.ts';
import type { Content, ContentRequest, Delivery } from './delivery.ts';
import { FlightContent } from './flight-content.ts';
import { privateContent } from './private-content.ts';
import { storedContent } from './stored-content.ts';

/** What the indexes say of a URL; learns from them what was put off until somebody asks. */
export interface NameBook {
  /** As `lookup`, at once: `undefined` also when it takes more than memory to tell. */
  atHand(url: string): { digest: Digest } | undefined;
  lookup(url: string): Promise<(Partial<CatalogEntry> & { digest: Digest }) | undefined>;
  /** An object came through under this URL; indexes are learned from. */
  noteObject(url: string, digest: Digest, size: number): void;
}

/** Takes what apt keeps of a package into the store, without a copy; false when apt has none. */
export type Borrower = (url: string, entry: { digest: Digest; size?: number }) => Promise<boolean>;

interface HerdDeliveryDeps {
  readonly garbage: Garbage;
  readonly borrow: Borrower;
  readonly store: Store;
  readonly book: NameBook;
  readonly flights: Flights;
  readonly names: Names;
  readonly upstream: Upstream;
  readonly counters: Counters;
  readonly clock: Clock;
}

type Entry = { readonly digest: Digest; readonly size?: number };

const NAME_TURNS = 4;
/** An object that came wrong is fetched anew, while no byte of it has gone to the client. */
const TRIES = 2;

export class HerdDelivery implements Delivery {
  readonly #deps: HerdDeliveryDeps;
  readonly #flightContent: FlightContent;

  constructor(deps: HerdDeliveryDeps) {
    this.#deps = deps;
    this.#flightContent = new FlightContent(deps);
  }

  atHand(request: Omit<ContentRequest, 'signal'>): Content | undefined {
    const { book, store } = this.#deps;
    const listed = request.authorization === undefined ? book.atHand(request.url) : undefined;
    const stored = listed && store.atHand(listed.digest);
    if (stored === undefined) return undefined;
    // It may have come for others: only what apt asks here for is learned from.
    book.noteObject(request.url, stored.digest, stored.size);
    return this.#fromStore(stored, {});
  }

  async get(request: ContentRequest): Promise<Content> {
    const { url, trace } = request;
    if (request.authorization !== undefined) {
      trace?.note({ what: 'name', as: 'private' });
      return await privateContent(this.#deps, request);
    }
    const listed = await this.#deps.book.lookup(url);
    if (listed) trace?.note({ what: 'name', as: 'fixed', ...listed });
    const content = listed && (await this.#listed(request, listed));
    if (content) return content;
    trace?.note({ what: 'name', as: 'volatile' });
    return await this.#volatile(request);
  }

  /** `undefined`: upstream's file is not the one that the index lists; ask for it by its name. */
  async #listed(request: ContentRequest, entry: Entry): Promise<Content | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#object(request, entry, undefined, {});
      } catch (error) {
        if (!(error instanceof HerdError) || error.code !== 'CONTENT_MISMATCH') throw error;
        if (classify(request.url).kind === 'index') return undefined;
        if (tries === TRIES) throw error;
      }
    }
  }

  async #volatile(request: ContentRequest): Promise<Content> {
    const { names } = this.#deps;
    let noCache = request.noCache;
    for (let turn = 0; turn < NAME_TURNS; turn++) {
      const named = await names.resolve(request.url, noCache, request.trace);
      try {
        const content = await this.#named(request, named);
        if (content) return content;
      } catch (error) {
        // Nobody kept what the name stood for, and upstream has something newer by now.
        if (!(error instanceof HerdError) || error.code !== 'CONTENT_MISMATCH') throw error;
        noCache = true;
      }
    }
    throw new HerdError('NO_SOURCE', `${request.url} came and went`);
  }

  async #named(request: ContentRequest, named: Named): Promise<Content | undefined> {
    const { url, trace } = request;
    if (named.kind === 'streaming') {
      const boarding = await this.#deps.names.board(url, named, trace);
      return boarding && (await this.#flightContent.of(boarding, {}));
    }
    const { resolution, ageMs, stale, holder, stream } = named;
    const { digest, size, lastModified, contentType, status } = resolution;
    if (digest === undefined) {
      throw new HerdError('NOT_FOUND', `upstream answered ${status} for ${url}`, { status });
    }
    const entry = size === undefined ? { digest } : { digest, size };
    const hint = holder && { holder, ...(stream ? { stream } : {}) };
    const content = await this.#object(request, entry, hint, {
      ageMs,
      stale,
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(contentType === undefined ? {} : { contentType }),
    });
    this.#deps.book.noteObject(url, digest, content.size ?? 0);
    return content;
  }

  async #object(
    request: ContentRequest,
    entry: Entry,
    hint: Hint | undefined,
    extra: Partial<Content>,
  ): Promise<Content> {
    const { store, flights, book } = this.#deps;
    const { url, trace } = request;
    const stored = await this.#stored(url, entry);
    if (stored) {
      book.noteObject(url, stored.digest, stored.size);
      trace?.note({ what: 'stored', digest: stored.digest, size: stored.size });
      return this.#fromStore(checkedObject(store, stored), extra);
    }
    // Who asks for the head alone is told what is known of it: its bytes are not fetched.
    if (request.head && entry.size !== undefined) return headOf(entry, extra);
    const order = { ...entry, url, trace, ...(hint ? { hint } : {}) };
    const boarding = await flights.board(order);
    if (boarding.joined) trace?.note({ what: 'joined', way: boarding.feeder.way });
    const content = await this.#flightContent.of(boarding, extra, order);
    return { ...content, arrived: this.#noteWhenWhole(boarding.flight, url) };
  }

  async #stored(url: string, entry: Entry): Promise<ObjectReader | undefined> {
    const { store, borrow } = this.#deps;
    const stored = await store.open(entry.digest);
    if (stored) return stored;
    await borrow(url, entry);
    // Borrowed, or its flight landed while the store was asked.
    return store.stat(entry.digest) ? await store.open(entry.digest) : undefined;
  }

  async #noteWhenWhole(flight: Flight, url: string): Promise<void> {
    while (flight.state === 'running') await flight.changed();
    if (flight.state !== 'whole' || flight.digest === undefined) return;
    this.#deps.book.noteObject(url, flight.digest, flight.bytes);
  }

  #fromStore(stored: ObjectReader, extra: Partial<Content>): Content {
    const { counters, garbage, flights } = this.#deps;
    return storedContent({ counters, garbage, wrong: flights.wrong }, stored, extra);
  }
}

function headOf(entry: Entry, extra: Partial<Content>): Content {
  return { ...extra, ...entry, mustRestart: false, read: () => nothing(), close() {} };
}

async function* nothing(): AsyncGenerator<Buffer> {}
