// Hard limits and sizes that both ends of a wire must agree on. Tunables are in config/table.ts.

export const KiB = 1024;
export const MiB = 1024 * KiB;

/** Objects travel and are checked in pieces of this many bytes; the last one may be shorter. */
export const PIECE_BYTES = 128 * KiB;

/** Up to this size an object is small: round trips and changes of thread count, not rates. */
export const SMALL_BYTES = 512 * KiB;

/** False while the size is not known. */
export function isSmall(size: number | undefined): boolean {
  return size !== undefined && size <= SMALL_BYTES;
}

/**
 * Version of the peer and tracker protocols, sent with every message. It grows when a message would
 * be misunderstood by the version before, not for fields that it can ignore (wire/protocol.ts).
 */
export const PROTOCOL_VERSION = 1;

/** Number of pieces of an object of `size` bytes; an empty object has none. */
export function pieceCount(size: number): number {
  return Math.ceil(size / PIECE_BYTES);
}
