// Brings a file whose digest nobody knows yet: from the stream that it began with, and when that
// breaks off from whoever has the rest.
import { HerdError, reasonOf } from '../errors.ts';
import type { Feeder } from '../fetch/feeder.ts';
import { feederDefaults } from '../fetch/feeder-options.ts';
import { Feeding, type FeedingDeps } from '../fetch/feeding.ts';
import type { Flight } from '../flight/flight.ts';
import type { Trace } from '../metrics/ways.ts';
import type { Origin, Source, SourceStream } from '../transfer/source.ts';

interface NameFeederOrder {
  /** Opens what it begins with; `feeding` counts what upstream gives. */
  begin(feeding: Feeding): { readonly origin: Origin; readonly stream: SourceStream };
  /** The same once more, if its connection breaks. */
  readonly again?: Source;
  /**
   * Another source after `turn` (0, 1…) others have failed; `undefined`: there is none. Throws
   * HerdError, NOT_FOUND where there is no such file any more.
   */
  next?(turn: number): Promise<Source | undefined>;
  readonly trace?: Trace | undefined;
}

const TURNS_MAX = 2;

export class NameFeeder implements Feeder {
  /** Nobody is sent to it by an owner: it has no swarm, and is handed on to nobody. */
  readonly leading = false;
  readonly passedOn = false;
  readonly narrow = false;
  readonly #order: NameFeederOrder;
  readonly #feeding: Feeding;

  constructor(deps: FeedingDeps, flight: Flight, order: NameFeederOrder) {
    this.#order = order;
    const { stallMs } = feederDefaults;
    this.#feeding = new Feeding(deps, flight, { stallMs, trace: order.trace });
  }

  get origin(): Origin | undefined {
    return this.#feeding.origin;
  }

  get lastKind(): Origin['kind'] {
    return this.#feeding.lastKind;
  }

  get suspects(): ReadonlySet<string> {
    return this.#feeding.suspects;
  }

  get way(): string | undefined {
    return this.#order.trace?.id;
  }

  get rootAgeMs(): number {
    return this.origin?.kind === 'upstream' ? 0 : this.#feeding.rootAgeMs;
  }

  sourced(): Promise<void> {
    return this.#feeding.sourced();
  }

  lead(): void {}

  passOn(): void {}

  stop(): void {
    this.#feeding.stop();
  }

  async run(): Promise<void> {
    try {
      await this.#begin();
      await this.#goOn();
    } catch (error) {
      this.#feeding.faults.tried.push(reasonOf(error));
    }
    await this.#feeding.conclude();
  }

  async #begin(): Promise<void> {
    const { begin, again } = this.#order;
    const { signal } = this.#feeding.begin();
    const { origin, stream } = begin(this.#feeding);
    signal.addEventListener('abort', () => stream.cancel(), { once: true });
    if (signal.aborted) stream.cancel();
    const outcome = await this.#feeding.consume(origin, stream, { lenient: again !== undefined });
    if (again && outcome === 'broken' && this.#feeding.open) await this.#feeding.take(again);
  }

  async #goOn(): Promise<void> {
    const { faults } = this.#feeding;
    for (let turn = 0; turn < TURNS_MAX && this.#feeding.open; turn++) {
      try {
        const source = await this.#order.next?.(turn);
        if (source) await this.#feeding.take(source);
      } catch (error) {
        faults.tried.push(reasonOf(error));
        if (error instanceof HerdError && error.code === 'NOT_FOUND') return faults.settle(error);
      }
    }
  }
}
