// What is on its way in, as content for a client, who gets the bytes as they come.
import { HerdError } from '../errors.ts';
import type { Boarding, FlightOrder, Flights } from '../fetch/flights.ts';
import type { Flight } from '../flight/flight.ts';
import type { FlightReader } from '../flight/flight-reader.ts';
import { PIECE_BYTES } from '../limits.ts';
import type { CounterName, Counters } from '../metrics/counters.ts';
import type { Clock } from '../platform/clock.ts';
import type { Content } from './delivery.ts';

interface FlightContentDeps {
  readonly flights: Flights;
  readonly counters: Counters;
  readonly clock: Clock;
}

/** The head of an answer waits at most so long for the first bytes; apt gives up after 30 s. */
const FIRST_BYTES_MS = 20_000;

export class FlightContent {
  readonly #deps: FlightContentDeps;

  constructor(deps: FlightContentDeps) {
    this.#deps = deps;
  }

  /**
   * Resolves when there is something to give; throws the reason why there is nothing. `order`: how
   * another flight of the same object is started, when this one has let go of what is due.
   */
  async of(boarding: Boarding, extra: Partial<Content>, order?: FlightOrder): Promise<Content> {
    const { flight } = boarding;
    try {
      await this.#firstBytes(flight);
    } catch (error) {
      boarding.leave();
      throw error;
    }
    const { size, lastModified, contentType } = flight.meta;
    const { wrong } = this.#deps.flights;
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
      mustRestart: flight.digest !== undefined && wrong.tainted(flight.digest),
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
              this.#deps.flights.wrong.healed(digest);
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
  if (feeder.lastKind === 'local') return 'apt.bytes.flight';
  return feeder.lastKind === 'member' ? 'apt.bytes.peer' : 'apt.bytes.upstream';
}
