// Writes frames into the body of an HTTP answer, each as one chunk (RFC 9112, 7.1) in one write.
// ServerResponse writes a chunk in parts, and TLS copies parts together before it encrypts them:
// the memory of one more piece for each piece that is sent.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type PiecePool, SLOT_HEAD, SLOT_TAIL } from '../content/piece-pool.ts';
import { KiB } from '../limits.ts';
import { encode } from './frames.ts';
import type { QuietGuard, QuietWatch } from './quiet-watch.ts';

/** Up to this size, one TLS record, a copy costs less than a write of its own. */
const GATHER_BYTES_MAX = 16 * KiB;

/**
 * A peer that takes nothing for so many ticks is cut off: it would hold its object and its place
 * among the readers for ever. Long, for it may be late: its machine renders, or its disk is full.
 */
const TAKE_TICKS = 60;

interface FrameSinkDeps {
  readonly pool: PiecePool;
  readonly watch: QuietWatch;
}

export interface FrameSink {
  /** The peer has gone away, or was cut off. */
  readonly gone: boolean;
  /** Resolves when it has. */
  readonly left: Promise<void>;
  /**
   * Resolves when more may come. `sent` is called when nobody needs `bytes` any more; never when
   * the connection broke before.
   */
  piece(index: number, hash: Uint8Array, bytes: Buffer, sent?: () => void): Promise<void>;
  write(frame: Buffer): Promise<void>;
  /** There will be no more frames than `last`, which goes out together with the end. */
  end(last?: Buffer): void;
  destroy(): void;
}

/** The head of the answer is written; resolves once it is this answer's turn on its connection. */
export async function frameSink(response: ServerResponse, deps: FrameSinkDeps): Promise<FrameSink> {
  if (!response.socket && !response.destroyed) {
    await Promise.race([once(response, 'socket'), once(response, 'close')]);
  }
  return new FrameWriter(response, deps);
}

class FrameWriter implements FrameSink {
  readonly #response: ServerResponse;
  readonly #socket: Socket | null;
  readonly #pool: PiecePool;
  readonly #taking: QuietGuard;
  readonly #left = Promise.withResolvers<void>();
  readonly left = this.#left.promise;
  #gathering = false;
  gone = false;

  constructor(response: ServerResponse, { pool, watch }: FrameSinkDeps) {
    this.#response = response;
    this.#socket = response.socket;
    this.#pool = pool;
    this.#taking = watch.guard(TAKE_TICKS, () => {
      if (!this.#socket?.writableLength) return 'excused';
      this.destroy();
      return 'over';
    });
    response.once('close', () => this.#leave());
    // It may have left while its answer was being found.
    if (response.destroyed || !this.#socket) this.#leave();
    this.#gather();
    if (!this.gone) response.flushHeaders();
  }

  async piece(index: number, hash: Uint8Array, bytes: Buffer, sent?: () => void): Promise<void> {
    const { chunk, copy } = this.#pieceChunk(index, hash, bytes);
    if (!copy) return await this.#send(chunk, sent);
    sent?.();
    await this.#send(chunk, () => this.#pool.give(copy));
  }

  async write(frame: Buffer): Promise<void> {
    await this.#send(chunkOf(frame));
  }

  end(last?: Buffer): void {
    if (last) void this.#send(chunkOf(last));
    this.#response.end();
  }

  destroy(): void {
    this.#response.destroy();
    this.#leave();
  }

  #leave(): void {
    this.gone = true;
    this.#taking.end();
    this.#left.resolve();
  }

  /** What is written up to the next tick, or to the end of the answer, goes out together. */
  #gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#socket?.cork();
    process.nextTick(() => {
      this.#gathering = false;
      this.#socket?.uncork();
    });
  }

  /** A frame around `bytes` where they lie, if there is room, else around a copy. */
  #pieceChunk(index: number, hash: Uint8Array, bytes: Buffer): { chunk: Buffer; copy?: Buffer } {
    const head = encode.pieceHead(index, hash, bytes.length);
    const size = `${(head.length + bytes.length).toString(16)}\r\n`;
    const copy = this.#pool.owns(bytes) ? undefined : this.#pool.take(bytes.length);
    if (copy) bytes.copy(copy);
    const piece = copy ?? bytes;
    const slot = Buffer.from(piece.buffer, piece.byteOffset - SLOT_HEAD);
    const start = SLOT_HEAD - head.length - size.length;
    const end = SLOT_HEAD + piece.length;
    slot.write(size, start, 'latin1');
    slot.set(head, start + size.length);
    slot.set(CRLF, end);
    const chunk = slot.subarray(start, end + SLOT_TAIL);
    return copy ? { chunk, copy } : { chunk };
  }

  async #send(chunk: Buffer, sent?: () => void): Promise<void> {
    if (this.gone) return;
    if (chunk.length <= GATHER_BYTES_MAX) this.#gather();
    const { promise, resolve } = Promise.withResolvers<void>();
    const flowing = this.#socket?.write(chunk, (error) => {
      this.#taking.beat();
      if (!error) sent?.();
      resolve();
    });
    if (!flowing) await Promise.race([promise, this.left]);
  }
}

/** A frame that is no piece, as one chunk. */
function chunkOf(frame: Buffer): Buffer {
  const size = Buffer.from(`${frame.length.toString(16)}\r\n`, 'latin1');
  return Buffer.concat([size, frame, CRLF]);
}

const CRLF = Buffer.from('\r\n');
