import { expect, it } from 'vitest';
import { unescapeBytes, unescapeText } from '../../node/apt/percent-encoding.ts';

it.each([
  ['a%2Bb%3ac', 'a+b:c', 'a+b:c'],
  ['%C3%A4', 'ä', 'Ã¤'],
  ['%E4.deb', undefined, 'ä.deb'],
  ['%zz', undefined, '%zz'],
  ['100%', undefined, '100%'],
])('%s', (escaped, text, bytes) => {
  expect(unescapeText(escaped)).toBe(text);
  expect(unescapeBytes(escaped)).toBe(bytes);
});
