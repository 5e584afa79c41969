// Byte ranges of RFC 9110 §14: one range or the whole body, nothing in between.

/** Bytes [start, end) of a representation. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

const single = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i;

/**
 * Reads a Range header against a body of `size` bytes. `none`: answer 200 with the whole body
 * (no header, another unit, more than one range, bad syntax: RFC 9110 §14.2 lets a server ignore
 * them). `unsatisfiable`: answer 416 with `contentRange('unsatisfiable', size)`.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | 'none' | 'unsatisfiable' {
  const match = header === undefined ? null : single.exec(header);
  if (match === null) return 'none';
  const [, first = '', last = ''] = match;
  if (first === '') return last === '' ? 'none' : suffix(Number(last), size);
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < start) return 'none';
  return start < size ? { start, end } : 'unsatisfiable';
}

function suffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  if (length === 0 || size === 0) return 'unsatisfiable';
  return { start: Math.max(0, size - length), end: size };
}

/** The Content-Range header of a 206 or of a 416. */
export function contentRange(range: ByteRange | 'unsatisfiable', size: number): string {
  if (range === 'unsatisfiable') return `bytes */${size}`;
  return `bytes ${range.start}-${range.end - 1}/${size}`;
}
