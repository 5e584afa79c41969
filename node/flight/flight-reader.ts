// A reader of an object that is on its way in.
import type { Piece } from './piece-ring.ts';

/** The part of a flight that a reader needs. */
interface Source {
  readonly state: 'running' | 'whole' | 'failed';
  /** Pieces that may be given out. */
  available(checked: boolean): number;
  piece(index: number): Promise<Piece>;
}

/** A place in a flight, moving towards its end. */
export class FlightReader {
  /** The next piece that it will give. */
  index: number;
  readonly #flight: Source;
  readonly #checked: boolean;
  readonly #tell: { readonly moved: () => void; readonly closed: () => void };
  #closed = false;
  /** It stood still while others waited: its next pieces may be gone. */
  leftBehind = false;

  constructor(
    flight: Source,
    index: number,
    checked: boolean,
    tell: { readonly moved: () => void; readonly closed: () => void },
  ) {
    this.#flight = flight;
    this.index = index;
    this.#checked = checked;
    this.#tell = tell;
  }

  /** 'piece': `next` gives one at once; 'end': there are no more; 'failed': see the flight. */
  get status(): 'piece' | 'waiting' | 'end' | 'failed' {
    if (this.index < this.#flight.available(this.#checked)) return 'piece';
    if (this.#flight.state === 'failed') return 'failed';
    return this.#flight.state === 'whole' ? 'end' : 'waiting';
  }

  async next(): Promise<Piece> {
    const piece = await this.#flight.piece(this.index);
    this.index++;
    this.#tell.moved();
    return piece;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#tell.closed();
  }
}
