// The flights of this node: one per object, joined by everybody who wants it.
import type { Digest } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import { Flight } from '../flight/flight.ts';
import type { Trace } from '../metrics/ways.ts';
import type { Timer } from '../platform/clock.ts';
import type { Store } from '../store/store.ts';
import { labelOf } from '../transfer/source.ts';
import type { Feeder } from './feeder.ts';
import type { FeedingDeps } from './feeding.ts';
import { ObjectFeeder } from './object-feeder.ts';
import type { Hint, ObjectFeederDeps } from './object-task.ts';
import { Refusals } from './refusals.ts';
import { WrongObjects } from './wrong-objects.ts';

/** A flight that nobody reads any more goes on for so long, in case somebody comes back ... */
const LINGER_MS = 1_000;
/** ... and one that this node leads for the fleet: members that it sent elsewhere may. */
const LEAD_LINGER_MS = 15_000;

export interface FlightOrder {
  readonly digest: Digest;
  readonly size?: number;
  readonly url: string;
  readonly hint?: Hint;
  /** The first piece that is needed; a flight that has it no more is of no use. */
  readonly from?: number;
  readonly trace?: Trace | undefined;
}

/** This node is asked as the owner of the object: as `Feeder.lead`. */
interface Lead {
  readonly takeover: boolean;
  readonly unable: readonly string[];
}

interface Entry {
  readonly flight: Flight;
  readonly feeder: Feeder;
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
  readonly feeder: Feeder;
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
  /** For people: 'upstream', a member's name, 'this node', or 'none' while one is looked for. */
  readonly source: string;
  /** For programs: a member may have any name. */
  readonly sourceKind: 'upstream' | 'member' | 'local' | 'none';
  /** Members that this node passes it on to at the moment. */
  readonly readers: number;
  readonly startedAtMs: number;
}

interface FlightsDeps extends Omit<ObjectFeederDeps, 'refusals'> {
  readonly store: Store;
}

interface FlightsOptions {
  /** For so long what upstream refused is not asked for again, ms. */
  readonly freshnessMs: number;
}

export class Flights {
  readonly #deps: FlightsDeps & ObjectFeederDeps;
  readonly #entries = new Map<string, Entry>();
  readonly wrong: WrongObjects;

  constructor(deps: FlightsDeps, { freshnessMs }: FlightsOptions) {
    this.#deps = { ...deps, refusals: new Refusals(deps, { windowMs: freshnessMs }) };
    this.wrong = new WrongObjects(deps);
  }

  /** What feeders of files without a known digest need, too. */
  get feedingDeps(): FeedingDeps {
    return this.#deps;
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
    return entry?.feeder.origin?.kind === 'upstream' ? entry.flight.pieces : undefined;
  }

  /** Pieces of an object that are here, of one that is on its way. */
  pieces(key: string): number {
    return this.#entries.get(key)?.flight.pieces ?? 0;
  }

  /** Joins the flight of an object, or starts it. `lead`: this node is asked as its owner. */
  async board(order: FlightOrder, lead?: Lead): Promise<Boarding> {
    const { digest, from = 0 } = order;
    while (this.#isEnding(digest)) await this.#ended(digest);
    const known = this.#entries.get(digest);
    const useful = known?.flight.holds(from) ?? false;
    const entry = known && useful ? known : this.#start(order);
    if (lead) entry.feeder.lead(lead.takeover, lead.unable);
    return await this.#hold(digest, entry, useful);
  }

  /** Joins a flight that is under way under `key`, if there is one. */
  async join(key: string): Promise<Boarding | undefined> {
    const entry = this.#entries.get(key);
    return entry && !this.#isEnding(key) ? await this.#hold(key, entry, true) : undefined;
  }

  /** Whether `join` would. */
  joinable(key: string): boolean {
    return this.#entries.has(key) && !this.#isEnding(key);
  }

  /** Joins the flight of a file whose digest nobody knows yet, or starts it. */
  async launch(key: string, url: string, feederOf: (flight: Flight) => Feeder): Promise<Boarding> {
    while (this.#isEnding(key)) await this.#ended(key);
    const known = this.#entries.get(key);
    if (known) return await this.#hold(key, known, true);
    const flight = new Flight(this.#deps, { key, url });
    return await this.#hold(key, this.#add(key, flight, feederOf(flight)), false);
  }

  /** Whether this node fetches an object for others as its owner. */
  leads(key: string): boolean {
    return this.#entries.get(key)?.feeder.leading ?? false;
  }

  /** Flights that this node fetches for others as their owner. */
  *led(): Iterable<Flight> {
    for (const { flight, feeder } of this.#entries.values()) if (feeder.leading) yield flight;
  }

  /** Lets others fetch what this node is fetching as an owner. */
  passOn(): void {
    for (const { feeder } of this.#entries.values()) feeder.passOn();
  }

  report(): FlightReport[] {
    return [...this.#entries.values()].map(({ flight, feeder, startedAtMs }) => ({
      object: flight.digest ?? flight.url,
      url: flight.url,
      bytes: flight.bytes,
      ...(flight.meta.size === undefined ? {} : { size: flight.meta.size }),
      source: feeder.origin ? labelOf(feeder.origin) : 'none',
      sourceKind: feeder.origin?.kind ?? 'none',
      readers: flight.readers,
      startedAtMs,
    }));
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    for (const { feeder } of entries) feeder.stop();
    const error = new HerdError('SHUTTING_DOWN', 'debherd is shutting down');
    await Promise.allSettled(entries.map(({ flight }) => flight.fail(error)));
  }

  /** Nobody can join it any more; it has not let go of everything yet. */
  #isEnding(key: string): boolean {
    const entry = this.#entries.get(key);
    return entry !== undefined && (entry.stopped || entry.flight.state === 'failed');
  }

  async #ended(key: string): Promise<void> {
    const entry = this.#entries.get(key);
    await entry?.landed.catch(() => {});
    if (entry && this.#entries.get(key) === entry) this.#forget(key, entry);
  }

  #start(order: FlightOrder): Entry {
    const { digest, size, url, hint, trace } = order;
    const flight = new Flight(this.#deps, {
      key: digest,
      digest,
      url,
      ...(size === undefined ? {} : { size }),
    });
    const host = new URL(url).host;
    const suspects = this.wrong.suspects(digest);
    const feed = {
      ...{ digest, url, host, trace },
      ...(hint ? { hint } : {}),
      ...(suspects ? { suspects } : {}),
    };
    return this.#add(digest, flight, new ObjectFeeder(this.#deps, flight, feed));
  }

  #add(key: string, flight: Flight, feeder: Feeder): Entry {
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
    entry.landed = opened.then(() => feeder.run()).finally(() => this.#landed(key, entry));
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
      else entry.linger = this.#deps.clock.after(this.#lingerMs(entry), () => stop());
    };
    const stop = () => {
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

  #lingerMs({ feeder }: Entry): number {
    const forOthers = feeder.leading && this.#deps.fleet.members().length > 1;
    return forOthers ? LEAD_LINGER_MS : LINGER_MS;
  }

  /** The feeder ended. A whole object is in the store; a failed one must not be joined again. */
  #landed(key: string, entry: Entry): void {
    const { flight, feeder } = entry;
    if (flight.error?.code === 'CONTENT_MISMATCH') {
      const { digest, released, disproved } = flight;
      if (disproved) this.#deps.counters.add('objects.bad');
      const { suspects } = feeder;
      if (digest !== undefined) this.wrong.add(digest, { suspects, released });
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
