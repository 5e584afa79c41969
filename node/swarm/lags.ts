// Who has less of an object than it could have by now, report by report.
import { MiB, PIECE_BYTES } from '../limits.ts';

/** Behind the front by this much, a relay holds up those behind it. */
const LAG_PIECES = Math.ceil((3 * MiB) / PIECE_BYTES);
/** Behind its source in so many reports in a row, a member is held up by it, or slow itself. */
const LAG_REPORTS = 3;
/** The same for one that gets nothing: its source may have no CPU for a moment. */
const STILL_REPORTS = 6;

/** Whether who has `have` pieces is far from `other` pieces. */
export function isFarBehind(have: number, other: number): boolean {
  return other - have > LAG_PIECES;
}

export class Lags {
  /** Reports in a row in which a member was behind; nobody else is in it. */
  readonly #reports = new Map<string, number>();

  /** As of its last report. */
  isBehind(id: string): boolean {
    return this.#reports.has(id);
  }

  /** It was behind in its last report, and asked for no source since then. */
  wasHeldUp(id: string): boolean {
    return (this.#reports.get(id) ?? 0) > 0;
  }

  /**
   * A report of a member that has `have` pieces now, and could have `could`. True when it has been
   * behind for long enough to be moved; `grew`: it got something since its last report.
   */
  report(
    id: string,
    { have, could, grew }: { have: number; could: number; grew: boolean },
  ): boolean {
    if (!isFarBehind(have, could)) {
      this.#reports.delete(id);
      return false;
    }
    const reports = (this.#reports.get(id) ?? 0) + 1;
    this.#reports.set(id, reports);
    return reports >= (grew ? LAG_REPORTS : STILL_REPORTS);
  }

  /** It asked for a source: until its next report it stays behind, but that one counts as first. */
  askedAgain(id: string): void {
    if (this.#reports.has(id)) this.#reports.set(id, 0);
  }

  forget(id: string): void {
    this.#reports.delete(id);
  }
}
