import { describe, expect, it } from 'vitest';
import { contentRange, parseRange } from '../../node/content/range.ts';

describe('parseRange of 1000 bytes', () => {
  const table: [string | undefined, ReturnType<typeof parseRange>][] = [
    [undefined, 'none'],
    ['', 'none'],
    ['bytes=0-', { start: 0, end: 1000 }],
    ['bytes=0-0', { start: 0, end: 1 }],
    ['bytes=999-', { start: 999, end: 1000 }],
    ['bytes=999-999', { start: 999, end: 1000 }],
    ['bytes=10-19', { start: 10, end: 20 }],
    ['bytes=10-99999999999999999999', { start: 10, end: 1000 }],
    ['Bytes= 10-19 ', { start: 10, end: 20 }],
    ['bytes=-1', { start: 999, end: 1000 }],
    ['bytes=-1000', { start: 0, end: 1000 }],
    ['bytes=-5000', { start: 0, end: 1000 }],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=1000-', 'unsatisfiable'],
    ['bytes=1000-2000', 'unsatisfiable'],
    ['bytes=99999999999999999999-', 'unsatisfiable'],
    // Syntax that RFC 9110 calls invalid, more than one range, other units: the whole body.
    ['bytes=20-10', 'none'],
    ['bytes=-', 'none'],
    ['bytes=', 'none'],
    ['bytes=a-b', 'none'],
    ['bytes=1-2-3', 'none'],
    ['bytes=+1-2', 'none'],
    ['bytes=0-1,5-6', 'none'],
    ['items=0-1', 'none'],
    ['0-1', 'none'],
  ];
  for (const [header, expected] of table) {
    it(`reads ${header}`, () => expect(parseRange(header, 1000)).toEqual(expected));
  }

  it('knows that an empty body has no ranges', () => {
    expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable');
    expect(parseRange('bytes=-5', 0)).toBe('unsatisfiable');
  });

  it('writes Content-Range', () => {
    expect(contentRange({ start: 10, end: 20 }, 1000)).toBe('bytes 10-19/1000');
    expect(contentRange('unsatisfiable', 1000)).toBe('bytes */1000');
  });
});
