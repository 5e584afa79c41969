// The peers port: what one member asks of another. Messages are JSON over HTTP/1.1 behind TLS-PSK,
// bytes are piece streams (wire/frames.ts).
import type { Member } from '../../tracker/protocol.ts';
import type { Resolution } from '../catalog/catalog.ts';
import type { Digest } from '../content/digest.ts';
import type { ErrorRecord } from '../errors.ts';
import type { Call } from '../metrics/ways.ts';
import type { Frame } from '../wire/frames.ts';

/** Where a peer door is, and whose it is where that is known (the DHT knows addresses only). */
export interface PeerAddress {
  readonly id?: string;
  readonly name?: string;
  readonly address: string;
  readonly port: number;
  readonly protocol?: number;
}

/** `GET /v1/hello`: to anybody. */
export interface Hello {
  /** The most that the member's link has carried of late, bytes per second. */
  readonly link?: number;
}

/** What a member tells of its own link. */
export interface LinkNews {
  /** It carries far less than most others': nobody should wait for what comes through it. */
  readonly narrow?: boolean;
}

/** `POST /v1/want`: to the owner of `digest`, from a member that needs it. */
export interface Want extends LinkNews {
  readonly digest: Digest;
  readonly size?: number;
  /** Where upstream has it. */
  readonly url: string;
  /** Verified pieces that the asking member has. */
  readonly have: number;
  readonly member: Member;
  readonly view: number;
  /** Sources that failed the asking member for this object. */
  readonly exclude: readonly string[];
  /** Members of a higher rank that did not answer. */
  readonly failed: readonly string[];
  /** Those of them that answered, but could not reach upstream. */
  readonly unable: readonly string[];
  /** Bytes from the owner itself, not the name of a relay. */
  readonly direct?: boolean;
}

export type WantAnswer =
  /** The bytes come in this answer. */
  | { readonly kind: 'stream'; readonly stream: PieceStream }
  /** Ask this member for the bytes: it has them or is getting them. */
  | { readonly kind: 'elsewhere'; readonly source: Member }
  /** In a newer view somebody else is the owner. */
  | { readonly kind: 'redirect'; readonly owner: Member }
  /** The owner's link is narrow: let the next in rank fetch it. */
  | { readonly kind: 'passed' };

/** `POST /v1/progress`: from a member that is getting an object, to its owner, once a second. */
export interface Progress extends LinkNews {
  readonly digest: Digest;
  readonly member: string;
  readonly have: number;
  /** Nobody reads it any more, but members of protocol 1 refuse a report without it. */
  readonly source: string;
  /** Nothing has come for seconds, and the member's own link has room. */
  readonly idle?: boolean;
}

export interface ProgressAnswer {
  /**
   * Ask the owner for another source. 'slow': the one you have keeps from you what it has;
   * 'behind': it has too little itself.
   */
  readonly move?: 'slow' | 'behind';
}

/** `POST /v1/name`: to the owner of a volatile name. */
export interface NameQuery {
  readonly url: string;
  readonly noCache: boolean;
  readonly view: number;
  /** Only what upstream told the member a moment ago, or is telling it; it does not go there. */
  readonly onlyKnown?: boolean;
  /** What the member has of it. Anything else that is small comes along with the answer. */
  readonly has?: readonly Digest[];
}

export type NameAnswer =
  | {
      readonly kind: 'resolved';
      readonly resolution: Resolution;
      readonly ageMs: number;
      readonly stale: boolean;
      /** The object, from its start; it is small, and whoever does not take it need not cancel. */
      readonly stream?: PieceStream;
    }
  /** No answer of upstream yet: ask again. */
  | { readonly kind: 'pending' }
  /** Still coming in at the owner: its pieces are under `key`. */
  | { readonly kind: 'streaming'; readonly key: string }
  /** To `onlyKnown`: nothing. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };

/** `POST /v1/claim`: to the new owner after a change of view. */
export interface Claim {
  readonly member: Member;
  /** What the member is fetching from upstream. */
  readonly objects: readonly ClaimedObject[];
  /** What upstream told it a moment ago. */
  readonly names: readonly ClaimedName[];
}

export interface ClaimedObject {
  readonly digest: Digest;
  readonly size?: number;
  readonly have: number;
}

export interface ClaimedName {
  readonly url: string;
  readonly resolution: Resolution;
  readonly ageMs: number;
}

/** Frames in order. Ends after an `end` frame; throws when the connection breaks or stalls. */
export interface PieceStream {
  /** Resolves to `undefined` at the end; throws HerdError SOURCE_FAILED. */
  next(): Promise<Frame | undefined>;
  /** Cuts the connection where the stream has not ended; pending `next` calls throw. */
  cancel(): void;
  /** All that was wanted has come: what is left is the end, and the connection is of use again. */
  done(): void;
}

export interface Peers {
  /**
   * All throw HerdError SOURCE_FAILED when the peer cannot be reached or answers nonsense, and
   * SOURCE_STALLED when it is silent. The id of `call.trace` goes along to the peer.
   */
  want(peer: PeerAddress, want: Want, call: Call): Promise<WantAnswer>;
  /** The pieces [from, to) of an object or of a file that is coming in; `undefined`: not there. */
  object(
    peer: PeerAddress,
    key: string,
    range: { from: number; to?: number },
    call: Call,
  ): Promise<PieceStream | undefined>;
  progress(peer: PeerAddress, progress: Progress, call: Call): Promise<ProgressAnswer>;
  name(peer: PeerAddress, query: NameQuery, call: Call): Promise<NameAnswer>;
  claim(peer: PeerAddress, claim: Claim, call: Call): Promise<void>;
  members(peer: PeerAddress, call: Call): Promise<readonly Member[]>;
  hello(peer: PeerAddress, call: Call): Promise<Hello>;
  close(): Promise<void>;
}
