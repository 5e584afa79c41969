// A body that goes on over broken connections: bytes in order, each once.
import { HerdError } from '../../errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { failureOf, type UpstreamFailure } from './upstream-failure.ts';

/** An open answer whose first byte is at `from` of the representation. */
export interface OpenBody {
  readonly from: number;
  /** Size of the whole representation, bytes. */
  readonly size?: number;
  readonly chunks: AsyncIterator<Buffer>;
  /** Frees the connection, whether or not reading has begun. */
  end(): void;
}

interface ResumingBodyDeps {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /**
   * Opens the same representation again at `position`, or from 0 when upstream cannot.
   * Waits as long as `attempt` (1, 2…, since the last byte) calls for.
   */
  reopen(
    position: number,
    attempt: number,
    why: UpstreamFailure,
    leftMs: number,
  ): Promise<OpenBody>;
}

interface ResumingBodyOptions {
  readonly host: string;
  /** May bytes before `position` be taken from another answer? Only if they never change. */
  readonly immutable: boolean;
  /** False: bytes can change and upstream gave no validator, so a broken body stays broken. */
  readonly resumable: boolean;
  /** How long the reader waits for one more byte, over all attempts. */
  readonly noProgressMs: number;
  readonly attemptsMax: number;
  readonly signal?: AbortSignal | undefined;
}

export class ResumingBody implements AsyncIterableIterator<Buffer> {
  readonly #deps: ResumingBodyDeps;
  readonly #options: ResumingBodyOptions;
  readonly #size: number | undefined;
  #source: OpenBody;
  #position: number;
  /** Bytes to drop: those already given, when upstream started over. */
  #skip = 0;
  #ended = false;

  constructor(opened: OpenBody, deps: ResumingBodyDeps, options: ResumingBodyOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#size = opened.size;
    this.#source = opened;
    this.#position = opened.from;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const waitingSince = this.#deps.clock.monotonicMs();
    for (let attempt = 1; !this.#ended; attempt++) {
      try {
        const chunk = await this.#read();
        if (chunk) return { done: false, value: chunk };
        this.#ended = true;
      } catch (thrown) {
        // Ended by its reader: there is nothing to go on with.
        if (this.#ended) break;
        await this.#resume(thrown, attempt, waitingSince);
      }
    }
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Buffer, undefined>> {
    this.#ended = true;
    this.#source.end();
    return { done: true, value: undefined };
  }

  /** The next bytes, or undefined at the right end. Throws at a wrong one. */
  async #read(): Promise<Buffer | undefined> {
    for (;;) {
      const { done, value } = await this.#source.chunks.next();
      if (done) break;
      const skipped = Math.min(this.#skip, value.length);
      this.#skip -= skipped;
      if (skipped === value.length) continue;
      this.#position += value.length - skipped;
      if (this.#size !== undefined && this.#position > this.#size) {
        throw new HerdError('UPSTREAM_ERROR', `${this.#options.host} sends more than announced`);
      }
      return skipped === 0 ? value : value.subarray(skipped);
    }
    if (this.#size === undefined || this.#position === this.#size) return undefined;
    throw Object.assign(new Error('closed early'), { code: 'UND_ERR_SOCKET' });
  }

  async #resume(thrown: unknown, attempt: number, waitingSince: number): Promise<void> {
    const { host, signal, noProgressMs, attemptsMax, resumable, immutable } = this.#options;
    const failure = failureOf(thrown, host);
    if (signal?.aborted) return this.#fail(signal.reason);
    const leftMs = noProgressMs - (this.#deps.clock.monotonicMs() - waitingSince);
    const hopeless = failure.retry === 'never' || attempt > attemptsMax || leftMs <= 0;
    if (!resumable || hopeless) return this.#fail(failure.error);
    let opened: OpenBody;
    try {
      opened = await this.#deps.reopen(this.#position, attempt, failure, leftMs);
    } catch (again) {
      if (signal?.aborted) return this.#fail(signal.reason);
      return this.#resume(again, attempt + 1, waitingSince);
    }
    this.#source = opened;
    const changed =
      (opened.from !== this.#position && !immutable) ||
      (this.#size !== undefined && opened.size !== undefined && opened.size !== this.#size);
    if (changed || this.#ended) {
      opened.end();
      if (changed) this.#fail(new HerdError('UPSTREAM_ERROR', `${host}: file changed while read`));
    }
    this.#skip = this.#position - opened.from;
  }

  #fail(error: unknown): never {
    this.#ended = true;
    this.#source.end();
    throw error;
  }
}
