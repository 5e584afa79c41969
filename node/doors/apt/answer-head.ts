// The head of an answer to apt: status, headers and which bytes follow. Pure.
import type { IncomingHttpHeaders } from 'node:http';
import { ifRangeHolds, isNotModified } from '../../content/preconditions.ts';
import { contentRange, parseRange } from '../../content/range.ts';
import type { Content } from '../../delivery/delivery.ts';

export interface AnswerHead {
  readonly status: 200 | 206 | 304 | 416;
  /** Names and values in turn, as `writeHead` takes them. */
  readonly headers: string[];
  /** The bytes that follow: [start, end); no end: to the end of a body of unknown size. */
  readonly start: number;
  readonly end: number | undefined;
}

export type Representation = Omit<Content, 'read' | 'whole' | 'close'>;

export function answerHead(request: IncomingHttpHeaders, content: Representation): AnswerHead {
  const { size, mustRestart } = content;
  const headers = ['Content-Type', content.contentType ?? 'application/octet-stream'];
  const etag = content.digest === undefined ? undefined : `"${content.digest}"`;
  const validators = { etag, lastModified: content.lastModified };
  if (etag !== undefined) headers.push('ETag', etag);
  if (content.lastModified !== undefined) headers.push('Last-Modified', content.lastModified);
  addFreshness(headers, content);

  const conditional =
    request['if-none-match'] !== undefined || request['if-modified-since'] !== undefined;
  if (conditional && !mustRestart && isNotModified(request, validators)) {
    return { status: 304, headers, start: 0, end: 0 };
  }
  if (size === undefined) return { status: 200, headers, start: 0, end: undefined };
  headers.push('Accept-Ranges', 'bytes');
  const wanted =
    request.range === undefined ||
    mustRestart ||
    !ifRangeHolds(single(request['if-range']), validators)
      ? 'none'
      : parseRange(request.range, size);
  if (wanted === 'none') {
    headers.push('Content-Length', String(size));
    return { status: 200, headers, start: 0, end: size };
  }
  headers.push('Content-Range', contentRange(wanted, size));
  if (wanted === 'unsatisfiable') return { status: 416, headers, start: 0, end: 0 };
  headers.push('Content-Length', String(wanted.end - wanted.start));
  return { status: 206, headers, start: wanted.start, end: wanted.end };
}

/** Age (RFC 9111 5.1) and, for what could not be revalidated, Warning 110 (RFC 7234 5.5.1). */
function addFreshness(headers: string[], content: Representation): void {
  if (content.ageMs === undefined && !content.stale) return;
  const seconds = String(Math.max(0, Math.floor((content.ageMs ?? 0) / 1000)));
  headers.push('Age', seconds);
  if (content.stale) {
    headers.push('Warning', '110 - "Response is Stale"', 'X-Debherd-Stale', seconds);
  }
}

function single(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : header?.[0];
}
