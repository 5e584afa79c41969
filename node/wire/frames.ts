// The piece stream: what one peer sends another of an object, as frames in an HTTP body.
//
// A frame is a header of 8 bytes and a payload. Header: type (8 bits) and payload length (24 bits),
// then a number (32 bits, big endian): the piece's index, or the age in a WAIT. The payload of a
// PIECE is its SHA-256 (32 bytes) and its bytes; of NAME, META and FAIL, JSON; of the others,
// nothing. A NAME may come first: the answer for a volatile name that the object goes with.
import { type PiecePool, SLOT_HEAD } from '../content/piece-pool.ts';
import { type ErrorRecord, HerdError } from '../errors.ts';
import { PIECE_BYTES } from '../limits.ts';
import { isHeaderValue } from './header-value.ts';

/** Content-Type of a body that is a piece stream. */
export const PIECES_TYPE = 'application/vnd.debherd.pieces';

const HEADER_BYTES = 8;
const HASH_BYTES = 32;
const JSON_BYTES_MAX = 64 * 1024;

const types = { meta: 1, piece: 2, wait: 3, end: 4, fail: 5, name: 6 } as const;

/** What is known of an object before its bytes. */
export interface StreamMeta {
  readonly size?: number;
  readonly lastModified?: string;
  readonly contentType?: string;
}

export type Frame =
  /** What the name stands for whose object follows. */
  | { readonly type: 'name'; readonly answer: unknown }
  | { readonly type: 'meta'; readonly meta: StreamMeta }
  | {
      readonly type: 'piece';
      readonly index: number;
      readonly hash: Buffer;
      readonly bytes: Buffer;
    }
  /** No bytes at the moment; `ageMs` since whoever fetches them was last known to be at work. */
  | { readonly type: 'wait'; readonly ageMs: number }
  /** The object is whole: `pieces` pieces were all. */
  | { readonly type: 'end'; readonly pieces: number }
  | { readonly type: 'fail'; readonly error: ErrorRecord };

function header(type: number, length: number, number: number): Buffer {
  const buffer = Buffer.allocUnsafe(HEADER_BYTES);
  buffer.writeUInt32BE(type * 2 ** 24 + length, 0);
  buffer.writeUInt32BE(Math.min(Math.max(0, Math.round(number)), 0xffffffff), 4);
  return buffer;
}

function json(type: number, value: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(value));
  return Buffer.concat([header(type, text.length, 0), text]);
}

export const encode = {
  name: (answer: unknown): Buffer => json(types.name, answer),
  meta: (meta: StreamMeta): Buffer => json(types.meta, meta),
  /** The head of a PIECE frame; the piece's bytes follow it on the wire as they are. */
  pieceHead(index: number, hash: Uint8Array, length: number): Buffer {
    const head = Buffer.allocUnsafe(HEADER_BYTES + HASH_BYTES);
    head.writeUInt32BE(types.piece * 2 ** 24 + HASH_BYTES + length, 0);
    head.writeUInt32BE(index, 4);
    head.set(hash, HEADER_BYTES);
    return head;
  },
  wait: (ageMs: number): Buffer => header(types.wait, 0, ageMs),
  end: (pieces: number): Buffer => header(types.end, 0, pieces),
  fail: (error: ErrorRecord): Buffer => json(types.fail, error),
};

/** Cuts a byte stream into frames. `push` throws HerdError SOURCE_FAILED on anything malformed. */
export class FrameDecoder {
  readonly #pool: PiecePool;
  readonly #onFrame: (frame: Frame, payloadBytes: number) => void;
  readonly #head = Buffer.alloc(HEADER_BYTES);
  #headBytes = 0;
  #payload: Buffer = Buffer.alloc(0);
  #payloadBytes = 0;

  constructor(pool: PiecePool, onFrame: (frame: Frame, payloadBytes: number) => void) {
    this.#pool = pool;
    this.#onFrame = onFrame;
  }

  push(chunk: Buffer): void {
    let offset = 0;
    while (offset < chunk.length) {
      offset += this.#headBytes < HEADER_BYTES ? this.#takeHead(chunk, offset) : 0;
      if (this.#headBytes < HEADER_BYTES) return;
      offset += this.#takePayload(chunk, offset);
      if (this.#payloadBytes === this.#payload.length) this.#emit();
    }
  }

  /** True between frames: a stream that ends elsewhere was cut. */
  get atBoundary(): boolean {
    return this.#headBytes === 0;
  }

  #takeHead(chunk: Buffer, offset: number): number {
    const taken = chunk.copy(this.#head, this.#headBytes, offset);
    this.#headBytes += taken;
    if (this.#headBytes < HEADER_BYTES) return taken;
    const length = this.#head.readUIntBE(1, 3);
    const max = this.#head[0] === types.piece ? HASH_BYTES + PIECE_BYTES : JSON_BYTES_MAX;
    if (length > max)
      throw new HerdError('SOURCE_FAILED', `a frame of ${length} bytes is too long`);
    this.#payload = this.#head[0] === types.piece ? this.#slot(length) : Buffer.allocUnsafe(length);
    this.#payloadBytes = 0;
    return taken;
  }

  /** A piece is sent on from where it came in (frame-writer.ts). */
  #slot(length: number): Buffer {
    const piece = this.#pool.take(Math.max(0, length - HASH_BYTES));
    return Buffer.from(piece.buffer, SLOT_HEAD - HASH_BYTES, length);
  }

  #takePayload(chunk: Buffer, offset: number): number {
    const taken = chunk.copy(this.#payload, this.#payloadBytes, offset);
    this.#payloadBytes += taken;
    return taken;
  }

  #emit(): void {
    const number = this.#head.readUInt32BE(4);
    const payload = this.#payload;
    this.#headBytes = 0;
    this.#payload = Buffer.alloc(0);
    this.#payloadBytes = 0;
    this.#onFrame(frameOf(this.#head[0], number, payload), payload.length);
  }
}

function frameOf(type: number | undefined, number: number, payload: Buffer): Frame {
  switch (type) {
    case types.name:
      return { type: 'name', answer: parse(payload) };
    case types.meta:
      return { type: 'meta', meta: metaOf(parse(payload)) };
    case types.piece:
      if (payload.length <= HASH_BYTES) break;
      return {
        type: 'piece',
        index: number,
        hash: payload.subarray(0, HASH_BYTES),
        bytes: payload.subarray(HASH_BYTES),
      };
    case types.wait:
      if (payload.length > 0) break;
      return { type: 'wait', ageMs: number };
    case types.end:
      if (payload.length > 0) break;
      return { type: 'end', pieces: number };
    case types.fail:
      return { type: 'fail', error: HerdError.from(parse(payload)).toJSON() };
  }
  throw new HerdError(
    'SOURCE_FAILED',
    `a frame of unknown type ${type} and ${payload.length} bytes`,
  );
}

function parse(payload: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString());
  } catch (cause) {
    throw new HerdError('SOURCE_FAILED', 'a frame that is not JSON', { cause });
  }
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw new HerdError('SOURCE_FAILED', 'a frame that is no JSON object');
}

function metaOf(value: Record<string, unknown>): StreamMeta {
  const { size, lastModified, contentType } = value;
  if (size !== undefined && !(Number.isSafeInteger(size) && Number(size) >= 0)) {
    throw new HerdError('SOURCE_FAILED', `a size of ${String(size)} bytes`);
  }
  return {
    ...(size === undefined ? {} : { size: Number(size) }),
    ...(isForHeader(lastModified) ? { lastModified } : {}),
    ...(isForHeader(contentType) ? { contentType } : {}),
  };
}

/** It is kept with the object, and would spoil every answer about it. */
function isForHeader(value: unknown): value is string {
  return typeof value === 'string' && isHeaderValue(value);
}
