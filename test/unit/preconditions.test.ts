import { describe, expect, it } from 'vitest';
import {
  formatHttpDate,
  ifRangeHolds,
  isNotModified,
  parseHttpDate,
} from '../../node/content/preconditions.ts';

const date = 'Sun, 06 Nov 1994 08:49:37 GMT';
const later = 'Sun, 06 Nov 1994 08:49:38 GMT';
const earlier = 'Sun, 06 Nov 1994 08:49:36 GMT';
const current = { etag: '"abc"', lastModified: date };

describe('HTTP dates', () => {
  it('come in three forms', () => {
    const forms = [date, 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994'];
    for (const form of forms) expect(parseHttpDate(form), form).toBe(784111777);
    expect(formatHttpDate(784111777)).toBe(date);
  });

  it('are nothing else', () => {
    const wrong = [
      '',
      '0',
      '1994-11-06',
      'Sun, 06 Nov 1994 08:49:37',
      `${date} x`,
      'Sun, 6 Nov 1994',
    ];
    for (const text of [...wrong, undefined]) expect(parseHttpDate(text), text).toBeUndefined();
  });
});

describe('a conditional request', () => {
  const table: [Parameters<typeof isNotModified>[0], boolean][] = [
    [{}, false],
    [{ 'if-modified-since': date }, true],
    [{ 'if-modified-since': later }, true],
    [{ 'if-modified-since': earlier }, false],
    [{ 'if-modified-since': 'yesterday' }, false],
    [{ 'if-none-match': '"abc"' }, true],
    [{ 'if-none-match': 'W/"abc"' }, true],
    [{ 'if-none-match': '"x", "abc"' }, true],
    [{ 'if-none-match': '*' }, true],
    [{ 'if-none-match': '"x"' }, false],
    [{ 'if-none-match': '"x"', 'if-modified-since': later }, false],
  ];
  for (const [headers, expected] of table) {
    it(`${JSON.stringify(headers)}: ${expected ? 304 : 200}`, () => {
      expect(isNotModified(headers, current)).toBe(expected);
    });
  }

  it('is answered with 200 when the validator is not known', () => {
    expect(isNotModified({ 'if-modified-since': later }, {})).toBe(false);
    expect(isNotModified({ 'if-none-match': '"abc"' }, {})).toBe(false);
  });
});

describe('If-Range', () => {
  const table: [string | undefined, boolean][] = [
    [undefined, true],
    ['"abc"', true],
    ['"x"', false],
    ['W/"abc"', false],
    [date, true],
    [later, false],
    [earlier, false],
    ['abc', false],
  ];
  for (const [header, expected] of table) {
    it(`${header}: ${expected}`, () => expect(ifRangeHolds(header, current)).toBe(expected));
  }

  it('holds for no unknown or weak validator', () => {
    expect(ifRangeHolds(date, {})).toBe(false);
    expect(ifRangeHolds('"abc"', {})).toBe(false);
    expect(ifRangeHolds('W/"abc"', { etag: 'W/"abc"' })).toBe(false);
  });
});
