// The port of every source of bytes: a member, upstream, another flight of this node. Whoever takes
// them need not know which it is, and goes on with the next one where the last one stopped.
import type { Call } from '../metrics/ways.ts';
import type { Frame } from '../wire/frames.ts';
import type { PeerAddress } from './peers.ts';

/** Where bytes come from: a type and not a name, as a member may be called anything. */
export type Origin =
  /** `elected`: for the fleet; else for this node alone, as its last resort. */
  | { readonly kind: 'upstream'; readonly elected: boolean }
  | { readonly kind: 'member'; readonly peer: PeerAddress }
  /** What another flight of this node brings, or the store has. */
  | { readonly kind: 'local' };

/** What is wanted of a source. */
export interface Wanted {
  /** An object's digest, or the name of a file whose digest nobody knows yet. */
  readonly key: string;
  /** Where upstream has it. */
  readonly url: string;
}

/** Pieces [from, to); to the end of the object without `to`. */
export interface PieceRange {
  readonly from: number;
  readonly to?: number;
}

/** As members send them; what upstream gives has no hashes of its pieces. */
export type SourceFrame =
  | Exclude<Frame, { type: 'piece' }>
  | {
      readonly type: 'piece';
      readonly index: number;
      readonly hash?: Buffer;
      readonly bytes: Buffer;
    };

/** Frames in order. */
export interface SourceStream {
  /** `undefined` at the end; throws HerdError where the source breaks off. */
  next(): Promise<SourceFrame | undefined>;
  /** Nothing more is wanted. */
  cancel(): void;
  /** All that was wanted has come: what is left is the end, and the connection is of use again. */
  done(): void;
}

export interface Source {
  readonly origin: Origin;
  readonly supports: {
    /**
     * It can begin in the middle of what is wanted. One that cannot gives all from the start, and
     * what is here already is compared with it.
     */
    readonly resume: boolean;
  };
  /**
   * `undefined`: it does not have it. Throws HerdError: of a member SOURCE_FAILED and
   * SOURCE_STALLED, of upstream what `Upstream` throws, and NOT_FOUND or UPSTREAM_DENIED.
   */
  open(wanted: Wanted, range: PieceRange, call: Call): Promise<SourceStream | undefined>;
}

/** For logs, reports and people. */
export function labelOf(origin: Origin): string {
  if (origin.kind !== 'member') return origin.kind === 'upstream' ? 'upstream' : 'this node';
  const { name, address, port } = origin.peer;
  return name ?? `${address}:${port}`;
}

/** Of the peer; an address found in the DHT may be that of nobody in the list. */
export function idOf(peer: PeerAddress): string {
  return peer.id ?? `${peer.address}:${peer.port}`;
}
