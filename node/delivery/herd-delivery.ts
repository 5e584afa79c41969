// The way of a GET: from a URL to bytes, for the clients of this node.
import { classify } from '../apt/classify.ts';
import type { CatalogEntry } from '../catalog/catalog.ts';
import type { Digest } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import type { Hint } from '../fetch/feeder.ts';
import type { Boarding, FlightOrder, Flights } from '../fetch/flights.ts';
import { pumpStream } from '../fetch/pump.ts';
import type { Flight } from '../flight/flight.ts';
import type { FlightReader } from '../flight/flight-reader.ts';
import { PIECE_BYTES } from '../limits.ts';
import type { CounterName, Counters } from '../metrics/counters.ts';
import type { Named } from '../names/known-names.ts';
import type { Names } from '../names/names.ts';
import type { Clock } from '../platform/clock.ts';
import type { Garbage } from '../platform/garbage.ts';
import type { Log } from '../platform/log.ts';
import { checkedObject } from '../store/checked-object.ts';
import type { ObjectReader, Store } from '../store/store.ts';
import type { Peers, PieceStream } from '../transfer/peers.ts';
import type { Upstream } from '../transfer/upstream.ts';
import type { Content, ContentRequest, Delivery } from './delivery.ts';
import { privateContent } from './private-content.ts';

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
  readonly peers: Peers | undefined;
  readonly store: Store;
  readonly book: NameBook;
  readonly flights: Flights;
  readonly names: Names;
  readonly upstream: Upstream;
  readonly counters: Counters;
  readonly clock: Clock;
  readonly log: Log;
}

/** The head of an answer waits at most so long for the first bytes; apt gives up after 30 s. */
const FIRST_BYTES_MS = 20_000;
const NAME_TURNS = 4;
/** An object that came wrong is fetched anew, while no byte of it has gone to the client. */
const TRIES = 2;
/** What a slow client may hold of one object at once; larger ones go piece by piece. */
const WHOLE_BYTES_MAX = 2 * PIECE_BYTES;

const nothingToCome = Promise.resolve();

export class HerdDelivery implements Delivery {
  readonly #deps: HerdDeliveryDeps;

  constructor(deps: HerdDeliveryDeps) {
    this.#deps = deps;
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
    if (request.authorization !== undefined) return await privateContent(this.#deps, request);
    const listed = await this.#deps.book.lookup(request.url);
    const content = listed && (await this.#listed(request, listed));
    return content ?? (await this.#volatile(request));
  }

  /** `undefined`: upstream's file is not the one that the index lists; ask for it by its name. */
  async #listed(request: ContentRequest, entry: { digest: Digest; size?: number }) {
    const { log } = this.#deps;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#object(request.url, entry, undefined, {});
      } catch (error) {
        if (!(error instanceof HerdError) || error.code !== 'CONTENT_MISMATCH') throw error;
        log.warn({ url: request.url, reason: error.message }, 'upstream gave something else');
        if (classify(request.url).kind === 'index') return undefined;
        if (tries === TRIES) throw error;
      }
    }
  }

  async #volatile(request: ContentRequest): Promise<Content> {
    let noCache = request.noCache;
    for (let turn = 0; turn < NAME_TURNS; turn++) {
      const named = await this.#deps.names.resolve(request.url, noCache);
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
    if (named.kind === 'streaming') return await this.#streaming(request, named);
    const { resolution, ageMs, stale, holder, stream } = named;
    const { digest, size, lastModified, contentType } = resolution;
    if (digest === undefined) {
      const { status } = resolution;
      throw new HerdError('NOT_FOUND', `upstream answered ${status} for ${request.url}`, {
        status,
      });
    }
    const entry = size === undefined ? { digest } : { digest, size };
    const hint = holder && { holder, ...(stream ? { stream } : {}) };
    const content = await this.#object(request.url, entry, hint, {
      ageMs,
      stale,
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(contentType === undefined ? {} : { contentType }),
    });
    this.#deps.book.noteObject(request.url, digest, content.size ?? 0);
    return content;
  }

  /** A file that is coming in under no known digest, here or at the owner of its name. */
  async #streaming(
    request: ContentRequest,
    named: Named & { kind: 'streaming' },
  ): Promise<Content | undefined> {
    const { flights, peers } = this.#deps;
    let boarding = await flights.join(named.key);
    if (!boarding && named.holder && peers) {
      const pull = new AbortController();
      const stream = await peers
        .object(named.holder, named.key, { from: 0 }, { signal: pull.signal })
        .catch(() => undefined);
      if (!stream) return undefined;
      boarding = await flights.join(named.key);
      if (boarding) stream.cancel();
      else boarding = await this.#pump(named.key, request.url, stream);
    }
    return boarding && (await this.#fromFlight(boarding, {}));
  }

  async #pump(key: string, url: string, stream: PieceStream): Promise<Boarding> {
    const { flights, counters } = this.#deps;
    const boarding = await flights.launch(key, url).catch((error) => {
      stream.cancel();
      throw error;
    });
    const own = await flights.join(key);
    void pumpStream(boarding.flight, stream, counters).finally(() => own?.leave());
    return boarding;
  }

  async #object(
    url: string,
    entry: { digest: Digest; size?: number },
    hint: Hint | undefined,
    extra: Partial<Content>,
  ): Promise<Content> {
    const { store, flights, book, borrow } = this.#deps;
    let stored = await store.open(entry.digest);
    if (!stored) await borrow(url, entry);
    // Borrowed, or its flight landed while the store was asked.
    if (!stored && store.stat(entry.digest)) stored = await store.open(entry.digest);
    if (stored) {
      book.noteObject(url, stored.digest, stored.size);
      return this.#fromStore(checkedObject(store, stored), extra);
    }
    const order = { ...entry, url, ...(hint ? { hint } : {}) };
    const boarding = await flights.board(order);
    const content = await this.#fromFlight(boarding, extra, order);
    return { ...content, arrived: this.#noteWhenWhole(boarding.flight, url) };
  }

  async #noteWhenWhole(flight: Flight, url: string): Promise<void> {
    while (flight.state === 'running') await flight.changed();
    if (flight.state !== 'whole' || flight.digest === undefined) return;
    this.#deps.book.noteObject(url, flight.digest, flight.bytes);
  }

  #fromStore(stored: ObjectReader, extra: Partial<Content>): Content {
    const { counters, garbage, flights } = this.#deps;
    const { digest, size, lastModified, body } = stored;
    const whole = (bytes: Buffer) => {
      counters.add('apt.bytes.local', size);
      flights.healed(digest);
      return bytes;
    };
    return {
      ...(body && size <= WHOLE_BYTES_MAX ? { whole: () => whole(body) } : {}),
      ...(lastModified === undefined ? {} : { lastModified }),
      ...extra,
      digest,
      size,
      arrived: nothingToCome,
      mustRestart: flights.tainted(digest),
      async *read(start, end = size) {
        for (let at = start; at < end; ) {
          const length = Math.min(PIECE_BYTES - (at % PIECE_BYTES), end - at);
          const bytes = await stored.read(at, length);
          counters.add('apt.bytes.local', length);
          garbage.note(length);
          at += length;
          if (start === 0 && at === size) flights.healed(digest);
          yield bytes;
        }
      },
      close: () => void stored.close(),
    };
  }

  async #fromFlight(
    boarding: Boarding,
    extra: Partial<Content>,
    order?: FlightOrder,
  ): Promise<Content> {
    const { flight } = boarding;
    try {
      await this.#firstBytes(flight);
    } catch (error) {
      boarding.leave();
      throw error;
    }
    const { size, lastModified, contentType } = flight.meta;
    const { flights } = this.#deps;
    const slow = flight.state === 'running' && flight.available(true) <= 0;
    const readAgain = this.#readAgain.bind(this);
    async function* read(start: number, end: number | undefined, signal: AbortSignal) {
      // The head alone: apt then waits another 30 s for the bytes.
      if (slow) yield Buffer.alloc(0);
      yield* readAgain(boarding, order, start, end, signal);
    }
    return {
      ...(lastModified === undefined ? {} : { lastModified }),
      ...(contentType === undefined ? {} : { contentType }),
      ...extra,
      ...(flight.digest === undefined ? {} : { digest: flight.digest }),
      ...(size === undefined ? {} : { size }),
      mustRestart: flight.digest !== undefined && flights.tainted(flight.digest),
      read,
      close: () => boarding.leave(),
    };
  }

  /** Waits for something to give, or for the reason why there is nothing. */
  async #firstBytes(flight: Flight): Promise<void> {
    const late = Promise.withResolvers<void>();
    let waiting = true;
    const timer = this.#deps.clock.after(FIRST_BYTES_MS, () => {
      waiting = false;
      late.resolve();
    });
    while (waiting && flight.state === 'running' && flight.available(true) <= 0) {
      await Promise.race([flight.changed(), late.promise]);
    }
    timer.cancel();
    if (flight.error) throw flight.error;
    if (
      flight.available(true) <= 0 &&
      flight.state === 'running' &&
      flight.meta.size === undefined
    ) {
      throw new HerdError('UPSTREAM_STALLED', `no bytes of ${flight.url} came in time`);
    }
  }

  /** Reads on from another flight where this one has let go of what is due (no disk space). */
  async *#readAgain(
    first: Boarding,
    order: FlightOrder | undefined,
    start: number,
    end: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const boarded = [first];
    let at = start;
    try {
      for (let boarding = first; ; ) {
        try {
          for await (const chunk of this.#readFlight(boarding, at, end, signal)) {
            at += chunk.length;
            const { digest, verified, bytes } = boarding.flight;
            // Before the last bytes go: a reader that has them all need not ask for more.
            if (start === 0 && digest !== undefined && verified && at === bytes) {
              this.#deps.flights.healed(digest);
            }
            yield chunk;
          }
          return;
        } catch (error) {
          const from = Math.floor(at / PIECE_BYTES);
          const { flight } = boarding;
          if (!order || flight.state === 'failed' || flight.holds(from)) throw error;
          boarding = await this.#deps.flights.board({ ...order, from });
          boarded.push(boarding);
        }
      }
    } finally {
      for (const boarding of boarded.slice(1)) boarding.leave();
    }
  }

  async *#readFlight(
    boarding: Boarding,
    start: number,
    end: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const { flight } = boarding;
    const reader = flight.read(Math.floor(start / PIECE_BYTES), true);
    try {
      for (let at = start; end === undefined || at < end; ) {
        if (!(await untilReadable(reader, flight, signal))) break;
        const { index, bytes, release } = await reader.next();
        const from = at - index * PIECE_BYTES;
        const to =
          end === undefined ? bytes.length : Math.min(bytes.length, end - index * PIECE_BYTES);
        const part = bytes.subarray(from, to);
        flight.released = true;
        this.#deps.counters.add(aptBytes(boarding), part.length);
        try {
          yield part;
        } finally {
          release();
        }
        at += part.length;
      }
    } finally {
      reader.close();
    }
  }
}

/** True when a piece can be read, false at the end; throws what the flight failed of. */
async function untilReadable(reader: FlightReader, flight: Flight, signal: AbortSignal) {
  const gone = Promise.withResolvers<void>();
  const leave = () => gone.resolve();
  signal.addEventListener('abort', leave, { once: true });
  try {
    while (reader.status === 'waiting') {
      if (signal.aborted) return false;
      await Promise.race([flight.changed(), gone.promise]);
    }
  } finally {
    signal.removeEventListener('abort', leave);
  }
  if (reader.status === 'failed') {
    throw flight.error ?? new HerdError('SOURCE_FAILED', 'the transfer ended early');
  }
  return reader.status === 'piece' && !signal.aborted;
}

function aptBytes({ joined, feeder }: Boarding): CounterName {
  if (joined) return 'apt.bytes.flight';
  return feeder?.sourceKind === 'peer' ? 'apt.bytes.peer' : 'apt.bytes.upstream';
}
