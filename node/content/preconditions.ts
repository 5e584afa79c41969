// Conditional requests of RFC 9110 §13: If-None-Match, If-Modified-Since and If-Range.

/** What identifies the representation that would be sent. */
export interface Validators {
  /** With its quotes, e.g. `"abc"`; weak ones begin with `W/`. */
  readonly etag?: string | undefined;
  /** HTTP-date. */
  readonly lastModified?: string | undefined;
}

/** The request's own headers, as node:http names them. */
export interface ConditionalHeaders {
  readonly 'if-none-match'?: string | undefined;
  readonly 'if-modified-since'?: string | undefined;
  readonly 'if-range'?: string | undefined;
}

const months = 'Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec';
const fixdate = new RegExp(
  `^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \\d\\d (?:${months}) \\d{4} \\d\\d:\\d\\d:\\d\\d GMT$`,
);
const rfc850 = new RegExp(
  `^[A-Z][a-z]{5,8}, (\\d\\d)-(${months})-(\\d\\d) (\\d\\d:\\d\\d:\\d\\d) GMT$`,
);
const asctime = new RegExp(
  `^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (${months}) ([ \\d]\\d) (\\d\\d:\\d\\d:\\d\\d) (\\d{4})$`,
);

/** Seconds since the epoch of an HTTP-date in any of its three forms; undefined for others. */
export function parseHttpDate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Date.parse(canonical(text)) / 1000;
  return Number.isInteger(seconds) ? seconds : undefined;
}

function canonical(text: string): string {
  if (fixdate.test(text)) return text;
  const long = rfc850.exec(text);
  if (long !== null) {
    // RFC 9110 §5.6.7 wants a sliding window; POSIX's fixed one lasts until 2068.
    const century = Number(long[3]) < 69 ? '20' : '19';
    return `${long[1]} ${long[2]} ${century}${long[3]} ${long[4]} GMT`;
  }
  const short = asctime.exec(text);
  return short === null ? '' : `${short[2]} ${short[1]} ${short[4]} ${short[3]} GMT`;
}

/** The IMF-fixdate (RFC 9110 §5.6.7) of seconds since the epoch. */
export function formatHttpDate(seconds: number): string {
  return new Date(seconds * 1000).toUTCString();
}

/**
 * Whether a GET or HEAD is answered with 304. If-None-Match, where present, is the only one that
 * counts (RFC 9110 §13.2.2) and compares weakly.
 */
export function isNotModified(headers: ConditionalHeaders, current: Validators): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined) {
    if (tags.trim() === '*') return true;
    if (current.etag === undefined) return false;
    const wanted = opaque(current.etag);
    return (tags.match(/(?:W\/)?"[^"]*"/g) ?? []).some((tag) => opaque(tag) === wanted);
  }
  const since = parseHttpDate(headers['if-modified-since']);
  const modified = parseHttpDate(current.lastModified);
  return since !== undefined && modified !== undefined && modified <= since;
}

/**
 * Whether a Range header may be honoured (RFC 9110 §13.1.5): no If-Range, the same strong ETag,
 * or exactly the same Last-Modified.
 */
export function ifRangeHolds(header: string | undefined, current: Validators): boolean {
  if (header === undefined) return true;
  const value = header.trim();
  if (value.startsWith('"')) return value === current.etag;
  const date = parseHttpDate(value);
  return date !== undefined && date === parseHttpDate(current.lastModified);
}

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag;
}
