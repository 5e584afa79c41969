// The delivery port: what the apt door asks for and gets.
import type { Digest } from '../content/digest.ts';
import type { Trace } from '../metrics/ways.ts';

export interface ContentRequest {
  /** Canonical absolute URL (apt/request-target.ts). */
  readonly url: string;
  /** The client said `Cache-Control: no-cache`: volatile names are revalidated at once. */
  readonly noCache: boolean;
  /** `Authorization` of the client: fetched for this client alone, never shared. */
  readonly authorization?: string;
  /** Nothing but the head of the answer is wanted: no byte need be fetched for it. */
  readonly head?: boolean;
  /** For private requests only: passed to upstream. */
  readonly signal: AbortSignal;
  /** Takes a record of each decision. */
  readonly trace?: Trace | undefined;
}

/** What a URL stands for now, ready to be read. */
export interface Content {
  readonly digest?: Digest;
  /** Bytes; unknown only while an unlisted file without Content-Length comes in. */
  readonly size?: number;
  readonly lastModified?: string;
  readonly contentType?: string;
  /** Upstream could not be asked; what is served was confirmed `ageMs` ago. */
  readonly stale?: boolean;
  readonly ageMs?: number;
  /**
   * The client may hold wrong bytes of an earlier answer: give 200 and the whole body, whatever
   * Range it asks for.
   */
  readonly mustRestart: boolean;
  /**
   * The bytes [start, end), verified, as they arrive; an empty chunk when the client should get the
   * head of the answer because the bytes are late. Throws HerdError when they cannot be had;
   * the door then closes short. A chunk is the reader's until it asks for the next one or
   * leaves.
   */
  read(start: number, end: number | undefined, signal: AbortSignal): AsyncIterable<Buffer>;
  /** Instead of reading all of it: the whole, where it is in memory anyway. */
  whole?(): Buffer;
  /**
   * Resolves when no byte is waited for any more: all are here, or none will come. Without it they
   * come as they are read. Never rejects.
   */
  readonly arrived?: Promise<void>;
  /** Must be called when done. */
  close(): void;
}

export interface Delivery {
  /** What `get` would give, where it lies in memory and nobody needs to be asked. */
  atHand(request: Omit<ContentRequest, 'signal'>): Content | undefined;
  /** Throws HerdError with the status for apt. Resolves before the bytes are here. */
  get(request: ContentRequest): Promise<Content>;
}
