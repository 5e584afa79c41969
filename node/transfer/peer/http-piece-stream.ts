// A piece stream in the body of a peer's answer: frames as they come, at the reader's pace.
import type { PiecePool } from '../../content/piece-pool.ts';
import { HerdError, reasonOf } from '../../errors.ts';
import { PIECE_BYTES } from '../../limits.ts';
import { type Frame, FrameDecoder } from '../../wire/frames.ts';
import type { Exchange } from '../../wire/peer-exchange.ts';
import type { PieceStream } from '../peers.ts';

/** What may follow the last piece: an END frame. A peer that sends more is cut off. */
const REST_BYTES_MAX = 1024;
/** What may wait to be taken before the connection is paused; half of it, and it goes on. */
const QUEUE_BYTES_MAX = 5 * PIECE_BYTES;
/** Memory of a frame besides its payload, roughly: frames without one are not free. */
const FRAME_BYTES = 512;

interface Queued {
  readonly frame: Frame;
  /** What it costs to keep, in bytes. */
  readonly weight: number;
}

export class HttpPieceStream implements PieceStream {
  readonly #peer: string;
  readonly #exchange: Exchange;
  readonly #settle: () => void;
  readonly #decoder: FrameDecoder;
  readonly #queue: Queued[] = [];
  #queued = 0;
  #waiting: PromiseWithResolvers<Frame | undefined> | undefined;
  #ended = false;
  #error: HerdError | undefined;
  #onClose: (() => void) | undefined;
  /** Bytes that came after all that was wanted. */
  #rest: number | undefined;

  constructor(pool: PiecePool, peer: string, exchange: Exchange, settle: () => void) {
    this.#peer = peer;
    this.#exchange = exchange;
    this.#settle = settle;
    this.#decoder = new FrameDecoder(pool, (frame, bytes) => this.#take(frame, bytes));
  }

  onClose(fn: () => void): void {
    if (this.#ended || this.#error) fn();
    else this.#onClose = fn;
  }

  push(chunk: Buffer): void {
    if (this.#rest !== undefined) {
      this.#rest += chunk.length;
      if (this.#rest > REST_BYTES_MAX) this.cancel();
      return;
    }
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.#exchange.abort(failure(this.#peer, error));
    }
    if (this.#queued > QUEUE_BYTES_MAX) this.#exchange.pause();
  }

  finish(): void {
    if (this.#rest === undefined && !this.#decoder.atBoundary) {
      this.fail(failure(this.#peer, 'the stream was cut'));
      return;
    }
    this.#ended = true;
    this.#wake()?.resolve(undefined);
    this.#close();
  }

  fail(error: HerdError): void {
    this.#error ??= error;
    this.#wake()?.reject(this.#error);
    this.#close();
  }

  async next(): Promise<Frame | undefined> {
    const queued = this.#queue.shift();
    if (queued) {
      this.#queued -= queued.weight;
      if (this.#exchange.paused && this.#queued <= QUEUE_BYTES_MAX / 2) this.#exchange.resume();
      return queued.frame;
    }
    if (this.#error) throw this.#error;
    if (this.#ended) return undefined;
    this.#waiting = Promise.withResolvers();
    return await this.#waiting.promise;
  }

  cancel(): void {
    if (this.#ended || this.#error) return;
    const error = failure(this.#peer, 'no longer wanted');
    this.#error = error;
    this.#exchange.abort(error);
    this.fail(error);
  }

  done(): void {
    if (this.#ended || this.#error) return;
    this.#rest = 0;
    this.#queue.length = 0;
    this.#queued = 0;
    if (this.#exchange.paused) this.#exchange.resume();
  }

  #take(frame: Frame, payloadBytes: number): void {
    const waiting = this.#wake();
    if (waiting) {
      waiting.resolve(frame);
      return;
    }
    const weight = FRAME_BYTES + payloadBytes;
    this.#queue.push({ frame, weight });
    this.#queued += weight;
  }

  #wake(): PromiseWithResolvers<Frame | undefined> | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }

  #close(): void {
    this.#settle();
    this.#onClose?.();
    this.#onClose = undefined;
  }
}

/** What went wrong with `peer`, as a HerdError of the kind SOURCE_. */
export function failure(peer: string, error: unknown): HerdError {
  if (error instanceof HerdError && error.code.startsWith('SOURCE_')) return error;
  const code = isTimeout(error) ? 'SOURCE_STALLED' : 'SOURCE_FAILED';
  return new HerdError(code, `${peer}: ${reasonOf(error)}`, { cause: error });
}

function isTimeout(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ETIMEDOUT';
}
