// Answers of HTTP/1.1: the same however they are cut, and rubbish is refused.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnswerReader, MalformedAnswer } from '../../node/wire/http-answer.ts';

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

function read(chunks: Iterable<Buffer>): { answers: Answer[]; keepAlive: boolean } {
  const answers: Answer[] = [];
  let open: { status: number; headers: Record<string, string>; body: string } | undefined;
  const reader = new AnswerReader({
    head: (status, headers) => {
      expect(open).toBeUndefined();
      open = { status, headers: Object.fromEntries(headers), body: '' };
    },
    data: (bytes) => {
      open!.body += bytes.toString('latin1');
    },
    end: () => {
      answers.push(open!);
      open = undefined;
    },
  });
  for (const chunk of chunks) reader.push(chunk);
  return { answers, keepAlive: reader.keepAlive };
}

const readText = (text: string) => read([Buffer.from(text, 'latin1')]);

describe('an answer', () => {
  test('with a length, in chunks, without a body; one after the other', () => {
    const { answers, keepAlive } = readText(
      [
        'HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello',
        'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 404 Not Found\r\n',
        'Transfer-Encoding: chunked\r\n\r\n3;why=not\r\nabc\r\nA\r\n0123456789\r\n',
        '0\r\nTrailer: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
        'HTTP/1.1 200\r\nVia: a\r\nVia: b\r\ncontent-length:0\r\n\r\n',
      ].join(''),
    );
    expect(answers).toEqual([
      { status: 200, headers: { 'content-type': 'a/b', 'content-length': '5' }, body: 'hello' },
      { status: 404, headers: { 'transfer-encoding': 'chunked' }, body: 'abc0123456789' },
      { status: 204, headers: {}, body: '' },
      { status: 200, headers: { via: 'a, b', 'content-length': '0' }, body: '' },
    ]);
    expect(keepAlive).toBe(true);
  });

  test('however it is cut', () => {
    const text = fc.string({ minLength: 1, maxLength: 60, unit: 'binary-ascii' });
    const whole = text.map((body) => `content-length: ${body.length}\r\n\r\n${body}`);
    const chunked = fc.array(text, { maxLength: 4 }).map((parts) => {
      const chunks = parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`);
      return `transfer-encoding: chunked\r\n\r\n${chunks.join('')}0\r\n\r\n`;
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(whole, chunked), { minLength: 1, maxLength: 3 }), (parts) => {
        const all = Buffer.from(
          parts.map((part) => `HTTP/1.1 200 OK\r\n${part}`).join(''),
          'latin1',
        );
        const inOne = read([all]);
        expect(inOne.answers).toHaveLength(parts.length);
        expect(read([...all].map((byte) => Buffer.of(byte)))).toEqual(inOne);
        for (let at = 1; at < all.length; at += 7) {
          expect(read([all.subarray(0, at), all.subarray(at)])).toEqual(inOne);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('with many small chunks: their sizes are no head', () => {
    const chunks = '1;a=b\r\nx\r\n'.repeat(10_000);
    const { answers } = readText(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
    );
    expect(answers).toMatchObject([{ body: 'x'.repeat(10_000) }]);
  });

  test.each([
    ['', true],
    ['H', false],
    ['HTTP/1.1 200 OK\r\n', false],
    ['HTTP/1.1 103 Early Hints\r\n\r\n', false],
  ])('after which %j came: idle is %j', (more, idle) => {
    for (const answer of [
      'HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na',
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
    ]) {
      const reader = new AnswerReader({ head() {}, data() {}, end() {} });
      reader.push(Buffer.from(answer + more));
      expect(reader.idle).toBe(idle);
    }
  });

  test.each([
    ['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'],
    ['HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 0\r\n\r\n'],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ])('that ends its connection: %j', (text) => {
    expect(readText(text)).toMatchObject({ answers: [{ status: 200 }], keepAlive: false });
  });
});

describe('rubbish', () => {
  test.each([
    ['another protocol', 'SSH-2.0-OpenSSH\r\n'],
    ['no status', 'HTTP/1.1 OK\r\n'],
    ['a header without a colon', 'HTTP/1.1 200 OK\r\nrubbish\r\n'],
    ['a header without a name', 'HTTP/1.1 200 OK\r\n: rubbish\r\n'],
    ['a line without end', `HTTP/1.1 200 ${'a'.repeat(20_000)}`],
    [
      'headers without end',
      `HTTP/1.1 200 OK\r\n${Array.from({ length: 2_000 }, (_, n) => `a${n}: b\r\n`).join('')}`,
    ],
    ['one header again and again', `HTTP/1.1 200 OK\r\n${`a: ${'b'.repeat(4_000)}\r\n`.repeat(5)}`],
    ['interim answers without end', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(1_000)],
    [
      'a trailer without end',
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(3_000)}`,
    ],
    ['neither length nor chunks', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['both', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n'],
    ['a length below zero', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
    ['another coding', 'HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n'],
    ['no size of a chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n'],
    ['a size of 2^32', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n100000000\r\n'],
    [
      'a chunk that is too long',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n',
    ],
  ])('%s is refused', (_what, text) => {
    expect(() => readText(text)).toThrow(MalformedAnswer);
  });

  test('of any kind gives an answer or MalformedAnswer, never another error', () => {
    const line = fc.constantFrom(
      'HTTP/1.1 200 OK',
      'content-length: 3',
      'transfer-encoding: chunked',
      '',
      '3',
      '0',
    );
    const text = fc
      .array(fc.oneof(line, fc.string()), { maxLength: 12 })
      .map((lines) => lines.join('\r\n'));
    fc.assert(
      fc.property(text, (rubbish) => {
        try {
          readText(rubbish);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedAnswer);
        }
      }),
      { numRuns: 400 },
    );
  });
});
