// The upstream port: bytes from an archive on the other side of the WAN.
import type { Trace } from '../metrics/ways.ts';

export interface UpstreamRequest {
  /** Absolute http(s) URL. */
  readonly url: string;
  /**
   * Bytes already here; the answer starts at this offset when upstream can (see `from`) and the
   * bytes are immutable.
   */
  readonly from?: number;
  /**
   * The bytes behind the URL never change (their digest is known): a broken body is resumed by
   * Range without a validator. Otherwise resuming needs a strong ETag or a Last-Modified.
   */
  readonly immutable: boolean;
  /** Conditional request: answered with status 304 when nothing changed. */
  readonly ifNoneMatch?: string;
  readonly ifModifiedSince?: string;
  /** Sent as it is; such answers are private. */
  readonly authorization?: string;
  /** One retry at most: somebody else's time is running out, or an older answer is at hand. */
  readonly hurried?: boolean;
  readonly signal?: AbortSignal;
  /** Each answer is told here. */
  readonly trace?: Trace | undefined;
}

export interface UpstreamResponse {
  /** 200 (also for a 206 that continues at `from`), 304, or the error status that upstream gave. */
  readonly status: number;
  /** Offset of the first byte of `body`: the request's `from`, or 0 when upstream ignored it. */
  readonly from: number;
  /** Size of the whole representation in bytes, where upstream tells. */
  readonly size?: number;
  readonly lastModified?: string;
  readonly etag?: string;
  readonly contentType?: string;
  /**
   * The bytes in order, resumed over broken connections; none but with status 200. Throws HerdError
   * UPSTREAM_STALLED, UPSTREAM_ERROR or UPSTREAM_UNREACHABLE when upstream gives no more, or the
   * reason of the request's signal. Must be consumed or ended (`return()`); that frees the
   * connection.
   */
  readonly body: AsyncIterable<Buffer>;
}

export interface Upstream {
  /**
   * Throws HerdError FORBIDDEN_HOST, UPSTREAM_UNREACHABLE, UPSTREAM_STALLED or UPSTREAM_ERROR
   * (429 or 5xx after retries); any other error status is an answer. Throws the signal's reason
   * when that is aborted.
   */
  fetch(request: UpstreamRequest): Promise<UpstreamResponse>;
  close(): Promise<void>;
}
