// The flights of this node: one per object, joined by everybody who wants it.
import type { Digest } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import { Flight } from '../flight/flight.ts';
import type { Timer } from '../platform/clock.ts';
import type { Store } from '../store/store.ts';
import { Feeder, type FeederDeps, type Hint } from './feeder.ts';

/** A flight that nobody reads any more goes on for so long, in case somebody comes back. */
const LINGER_MS = 15_000;
/** So long a client that may hold wrong bytes is made to start from the beginning. */
const TAINT_MS = 10 * 60_000;

export interface FlightOrder {
  readonly digest: Digest;
  readonly size?: number;
  readonly url: string;
  readonly hint?: Hint;
  /** The first piece that is needed; a flight that has it no more is of no use. */
  readonly from?: number;
}

/** Asked as the owner of an object; the fields as in Feeder.lead. */
interface Lead {
  readonly takeover: boolean;
  readonly unable: readonly string[];
}

interface Entry {
  readonly flight: Flight;
  readonly feeder: Feeder | undefined;
  readonly startedAtMs: number;
  readonly opened: Promise<void>;
  /** Resolves when the feeder has ended and let go of everything. */
  landed: Promise<void>;
  users: number;
  linger: Timer | undefined;
  /** Nobody wanted it any more: it is on its way to fail. */
  stopped: boolean;
}

/** A user's hold on a flight; `leave` when done with it. */
export interface Boarding {
  readonly flight: Flight;
  readonly feeder: Feeder | undefined;
  /** True when somebody else's request had started it. */
  readonly joined: boolean;
  leave(): void;
}

/** For the status report. */
export interface FlightReport {
  /** Digest, or the URL of an unlisted file. */
  readonly object: string;
  readonly url: string;
  readonly bytes: number;
  readonly size?: number;
  /** 'upstream', a member's name, or 'none' while a source is looked for. */
  readonly source: string;
  /** Members that this node passes it on to at the moment. */
  readonly readers: number;
  readonly startedAtMs: number;
}

interface FlightsDeps extends FeederDeps {
  readonly store: Store;
}

export class Flights {
  readonly #deps: FlightsDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #tainted = new Map<string, number>();

  constructor(deps: FlightsDeps) {
    this.#deps = deps;
  }

  /** Flights under way. */
  get active(): number {
    return this.#entries.size;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Pieces that upstream has given of an object; `undefined` when it sets no pace here. */
  front(key: string): number | undefined {
    const entry = this.#entries.get(key);
    return entry?.feeder?.source === 'upstream' ? entry.flight.pieces : undefined;
  }

  /** Pieces of an object that are here, of one that is on its way. */
  pieces(key: string): number {
    return this.#entries.get(key)?.flight.pieces ?? 0;
  }

  /** Joins the flight of an object, or starts it. `lead`: this node is asked as its owner. */
  async board(order: FlightOrder, lead?: Lead): Promise<Boarding> {
    let known = this.#entries.get(order.digest);
    while (known?.stopped || known?.flight.state === 'failed') {
      await known.landed.catch(() => {});
      if (this.#entries.get(order.digest) === known) this.#forget(order.digest, known);
      known = this.#entries.get(order.digest);
    }
    if (known && !known.flight.holds(order.from ?? 0)) known = undefined;
    const entry = known ?? this.#start(order);
    if (lead) entry.feeder?.lead(lead.takeover, lead.unable);
    return await this.#hold(order.digest, entry, known !== undefined);
  }

  /** Joins a flight that is under way under `key`, if there is one. */
  async join(key: string): Promise<Boarding | undefined> {
    const entry = this.#entries.get(key);
    if (!entry || entry.stopped || entry.flight.state === 'failed') return undefined;
    return await this.#hold(key, entry, true);
  }

  /** Starts a flight of a file whose digest nobody knows yet; the caller feeds it. */
  async launch(key: string, url: string): Promise<Boarding> {
    const flight = new Flight(this.#deps, { key, url });
    const entry = this.#add(key, flight, undefined);
    return await this.#hold(key, entry, false);
  }

  /** Whether clients may hold wrong bytes of `digest`, from a flight that turned out wrong. */
  tainted(digest: Digest): boolean {
    const until = this.#tainted.get(digest);
    if (until !== undefined && until > this.#deps.clock.monotonicMs()) return true;
    this.#tainted.delete(digest);
    return false;
  }

  /** A client got the whole right body. */
  healed(digest: Digest): void {
    this.#tainted.delete(digest);
  }

  /** Whether this node fetches an object for others as its owner. */
  leads(key: string): boolean {
    return this.#entries.get(key)?.feeder?.leading ?? false;
  }

  /** Flights that this node fetches for others as their owner. */
  *led(): Iterable<Flight> {
    for (const { flight, feeder } of this.#entries.values()) if (feeder?.leading) yield flight;
  }

  /** Lets others fetch what this node is fetching as an owner. */
  passOn(): void {
    for (const { feeder } of this.#entries.values()) feeder?.passOn();
  }

  report(): FlightReport[] {
    return [...this.#entries.values()].map(({ flight, feeder, startedAtMs }) => ({
      object: flight.digest ?? flight.url,
      url: flight.url,
      bytes: flight.bytes,
      ...(flight.meta.size === undefined ? {} : { size: flight.meta.size }),
      source: feeder?.source ?? 'upstream',
      readers: flight.readers,
      startedAtMs,
    }));
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    for (const { feeder } of entries) feeder?.stop();
    const error = new HerdError('SHUTTING_DOWN', 'debherd is shutting down');
    await Promise.allSettled(entries.map(({ flight }) => flight.fail(error)));
  }

  #start(order: FlightOrder): Entry {
    const { digest, size, url, hint } = order;
    const flight = new Flight(this.#deps, {
      key: digest,
      digest,
      url,
      ...(size === undefined ? {} : { size }),
    });
    const host = new URL(url).host;
    const feed = { digest, url, host, ...(hint ? { hint } : {}) };
    return this.#add(digest, flight, new Feeder(this.#deps, flight, feed));
  }

  #add(key: string, flight: Flight, feeder: Feeder | undefined): Entry {
    const { clock, counters } = this.#deps;
    counters.add('flights.started');
    const opened = flight.open();
    const startedAtMs = clock.nowMs();
    const entry: Entry = {
      flight,
      feeder,
      startedAtMs,
      opened,
      landed: opened,
      users: 0,
      linger: undefined,
      stopped: false,
    };
    this.#entries.set(key, entry);
    entry.landed = opened.then(() => feeder?.run()).finally(() => this.#landed(key, entry));
    entry.landed.catch((error) => this.#deps.log.error({ object: key, error }, 'flight lost'));
    return entry;
  }

  async #hold(key: string, entry: Entry, joined: boolean): Promise<Boarding> {
    entry.users++;
    entry.linger?.cancel();
    entry.linger = undefined;
    let held = true;
    const leave = () => {
      if (!held) return;
      held = false;
      entry.users--;
      if (entry.users > 0) return;
      if (entry.flight.state !== 'running') this.#forget(key, entry);
      else entry.linger = this.#deps.clock.after(LINGER_MS, () => stop());
    };
    const stop = () => {
      if (!entry.feeder) return;
      entry.stopped = true;
      entry.feeder.stop();
    };
    try {
      await entry.opened;
    } catch (error) {
      leave();
      throw error;
    }
    return { flight: entry.flight, feeder: entry.feeder, joined, leave };
  }

  /** The feeder ended. A whole object is in the store; a failed one must not be joined again. */
  #landed(key: string, entry: Entry): void {
    const { flight } = entry;
    if (flight.error?.code === 'CONTENT_MISMATCH') {
      this.#deps.counters.add('objects.bad');
      if (flight.released && flight.digest !== undefined) {
        this.#tainted.set(flight.digest, this.#deps.clock.monotonicMs() + TAINT_MS);
      }
    }
    if (flight.state === 'failed' || entry.users === 0) this.#forget(key, entry);
  }

  #forget(key: string, entry: Entry): void {
    // The timer holds the flight and the pieces that it has in memory.
    entry.linger?.cancel();
    entry.linger = undefined;
    entry.flight.retire();
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}
