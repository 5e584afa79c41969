// Tells the owner of an object how its bytes come in here; it answers when another source would be
// better.
import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Flight } from '../flight/flight.ts';
import { MiB } from '../limits.ts';
import type { LinkRates } from '../links/link-rates.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { PeerAddress, Peers, ProgressAnswer } from '../transfer/peers.ts';

/** Objects above this size are reported on from their first second. */
const REPORT_BYTES = 4 * MiB;
export const REPORT_EVERY_MS = 1_000;
/** Others when they take longer than this, and the own link has room ... */
const PATIENT_TICKS = 3;
/** ... and when no piece came for so long the owner may know a better source. */
const IDLE_TICKS = 3;

interface ProgressReportsDeps {
  readonly clock: Clock;
  readonly fleet: Pick<Fleet, 'self'>;
  /** Absent in a fleet of one. */
  readonly peers: Pick<Peers, 'progress'> | undefined;
  readonly links: Pick<LinkRates, 'hasRoom' | 'news'>;
}

/** What is told of a flight. */
type Reported = Pick<Flight, 'meta' | 'pieces'>;

interface ProgressReportsOptions {
  readonly digest: Digest;
  /** Ends everything. */
  readonly stop: AbortSignal;
}

export class ProgressReports {
  readonly #deps: ProgressReportsDeps;
  readonly #flight: Reported;
  readonly #options: ProgressReportsOptions;
  #pieceAtMs = 0;
  /** Since the last piece. */
  #idleTicks = 0;

  constructor(deps: ProgressReportsDeps, flight: Reported, options: ProgressReportsOptions) {
    this.#deps = deps;
    this.#flight = flight;
    this.#options = options;
  }

  /** A piece came in. */
  piece(): void {
    this.#pieceAtMs = this.#deps.clock.monotonicMs();
    this.#idleTicks = 0;
  }

  /** Since the last piece, or since the source was asked. */
  get quietMs(): number {
    return Math.round(this.#deps.clock.monotonicMs() - this.#pieceAtMs);
  }

  /** Reports until it is cancelled; `moved` when the owner says that `source` should be left. */
  watch(
    source: PeerAddress,
    owner: Member,
    moved: (move: NonNullable<ProgressAnswer['move']>) => void,
  ): Timer {
    const { clock, links } = this.#deps;
    let ticks = 0;
    let asking = false;
    this.piece();
    return clock.every(REPORT_EVERY_MS, async () => {
      const idle = ++this.#idleTicks >= IDLE_TICKS;
      const late = ++ticks >= PATIENT_TICKS && links.hasRoom;
      // A busy owner is asked once at a time.
      if (asking || (!this.#large && !late)) return;
      asking = true;
      const move = await this.#report(owner, source, idle && late);
      asking = false;
      if (move !== undefined) moved(move);
    });
  }

  /** The object is whole. */
  whole(owner: Member, source: PeerAddress): void {
    if (this.#large) void this.#report(owner, source, false);
  }

  get #large(): boolean {
    return (this.#flight.meta.size ?? 0) > REPORT_BYTES;
  }

  async #report(
    owner: Member,
    source: PeerAddress,
    idle: boolean,
  ): Promise<ProgressAnswer['move']> {
    const { peers, fleet, links } = this.#deps;
    const progress = {
      digest: this.#options.digest,
      member: fleet.self.id,
      have: this.#flight.pieces,
      source: source.id ?? '',
      ...links.news,
      ...(idle ? { idle } : {}),
    };
    const answer = await peers
      ?.progress(owner, progress, { signal: this.#options.stop })
      .catch(() => undefined);
    return answer?.move;
  }
}
