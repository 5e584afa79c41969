import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalUrl, escapePath, wireUrl } from '../../node/apt/canonical-url.ts';
import { parseRequestTarget } from '../../node/apt/request-target.ts';

const get = (target: string) => parseRequestTarget('GET', target);

describe('parseRequestTarget', () => {
  const urls: [target: string, url: string][] = [
    ['http://archive.ubuntu.com/ubuntu/x.deb', 'http://archive.ubuntu.com/ubuntu/x.deb'],
    ['HTTP://Archive.Ubuntu.COM:80/x', 'http://archive.ubuntu.com/x'],
    ['http://archive.ubuntu.com./x', 'http://archive.ubuntu.com/x'],
    ['http://mirror.example:8080/x', 'http://mirror.example:8080/x'],
    ['https://mirror.example:443/x', 'https://mirror.example/x'],
    ['http://mirror.example', 'http://mirror.example/'],
    ['http://mirror.example?a=%7eb%2fc', 'http://mirror.example/?a=~b%2Fc'],
    ['http://[::1]:3142/x', 'http://[::1]:3142/x'],
    ['http://HTTPS///mirror.example/x', 'https://mirror.example/x'],
    ['http://https//mirror.example:443/x', 'https://mirror.example/x'],
    ['/HTTPS///mirror.example/x', 'https://mirror.example/x'],
    ['/archive.ubuntu.com/ubuntu/', 'http://archive.ubuntu.com/ubuntu/'],
    ['/mirror.example:8080/x?y', 'http://mirror.example:8080/x?y'],
    ['/localhost/x', 'http://localhost/x'],
    [
      'http://m.example/pool/libstdc%2b%2b6_1%7e2%3a3.deb',
      'http://m.example/pool/libstdc++6_1~2:3.deb',
    ],
    ['http://m.example/pool/libstdc++6_1~2:3.deb', 'http://m.example/pool/libstdc++6_1~2:3.deb'],
    ['http://m.example/a%253a_%c3%a9', 'http://m.example/a%253a_%C3%A9'],
    ['http://m.example/%5bx%5d%3f%23', 'http://m.example/%5Bx%5D%3F%23'],
    ['http://m.example/flat/./InRelease', 'http://m.example/flat/InRelease'],
    ['http://m.example/flat/.', 'http://m.example/flat/'],
    ['http://m.example/.hidden/..x/x..', 'http://m.example/.hidden/..x/x..'],
    ['http://m.example/a//b', 'http://m.example/a//b'],
    ['http://m.example/x#1?y#2', 'http://m.example/x%231?y%232'],
  ];
  it.each(urls)('%s is %s', (target, url) => {
    const host = /\/\/([^/]*)/.exec(url)?.[1];
    expect(get(target)).toEqual({ kind: 'url', url, host });
  });

  const bad: [target: string, reason: RegExp][] = [
    ['http://m.example/a/../b', /\.\. segment/],
    ['http://m.example/a/%2e%2E/b', /\.\. segment/],
    ['http://m.example/..', /\.\. segment/],
    ['http://m.example/a%2fb', /encoded slash/],
    ['http://m.example/a%5Cb', /backslash/],
    ['http://m.example/a\\b', /backslash/],
    ['http://m.example/a%00b', /NUL/],
    ['http://m.example/a%7F', /control/],
    ['http://m.example/a b', /space or control/],
    ['http://m.example/a\tb', /space or control/],
    ['http://m.example/a\u0141b', /space or control/],
    ['http://m.example/%zz', /percent escape/],
    ['http://m.example/%4', /percent escape/],
    ['http://m.example/?%', /percent escape/],
    ['http:///x', /empty host/],
    ['http://:80/x', /bad host/],
    ['http://a..b/x', /characters/],
    ['http://exa mple/x', /characters/],
    ['http://m.example:0/x', /port/],
    ['http://m.example:65536/x', /port/],
    ['http://m.example:x/x', /bad host/],
    ['http://2130706433/x', /characters/],
    ['http://0x7f.1/x', /characters/],
    ['http://127.1/x', /characters/],
    ['http://[::1%25eth0]/x', /characters/],
    ['http://[::g]/x', /characters/],
    ['ftp://m.example/x', /scheme ftp/],
    ['file:///etc/passwd', /scheme file/],
    ['archive.ubuntu.com/x', /absolute/],
    ['', /absolute/],
    ['*', /absolute/],
    ['/a.example/../x', /\.\. segment/],
    ['/..//x', /characters/],
    ['/HTTPS///', /empty host/],
    [`http://m.example/${'a'.repeat(8192)}`, /longer/],
  ];
  it.each(bad)('%j is refused', (target, reason) => {
    const result = get(target);
    expect(result).toMatchObject({ kind: 'bad', reason: expect.stringMatching(reason) });
    expect(result).not.toMatchObject({ reason: expect.stringContaining('\n') });
  });

  it.each(['/', '/status.json', '/?x', '/events/x', '/favicon.ico', '/archive.ubuntu.com'])(
    '%s is a page of this node',
    (path) => expect(get(path)).toEqual({ kind: 'local', path }),
  );

  it('takes user and password out of the URL', () => {
    expect(get('http://me:p%40ss@m.example/x')).toEqual({
      kind: 'url',
      url: 'http://m.example/x',
      host: 'm.example',
      credentials: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
    });
    expect(get('http://me:%ff@m.example/x')).toMatchObject({ kind: 'bad' });
  });

  it('reads CONNECT targets', () => {
    const connect = (target: string) => parseRequestTarget('CONNECT', target);
    expect(connect('M.example:443')).toEqual({ kind: 'connect', host: 'm.example', port: 443 });
    expect(connect('[2001:db8::1]:443')).toMatchObject({ host: '2001:db8::1', port: 443 });
    for (const target of ['m.example', 'm.example:', ':443', 'a b:443', 'm.example:70000', '/x']) {
      expect(connect(target)).toMatchObject({ kind: 'bad' });
    }
  });

  it('gives any text a verdict, and canonical URLs stay as they are', () => {
    const tail = fc.string({ unit: 'binary', maxLength: 40 });
    const start = fc.constantFrom(
      '',
      '/',
      'http://m.example/',
      '/m.example/',
      'http://HTTPS///m.x/',
    );
    fc.assert(
      fc.property(start, tail, (head, rest) => {
        const result = get(head + rest);
        if (result.kind !== 'url') return;
        expect(canonicalUrl(result.url)).toEqual({ url: result.url, host: result.host });
      }),
      { numRuns: 100 },
    );
  });
});

describe('escapePath', () => {
  it('and the canonical URL agree for every byte', () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => byte).filter(
      (byte) => byte > 0x20 && byte !== 0x7f && byte !== 0x5c && byte !== 0x2f,
    );
    for (const byte of bytes) {
      const char = String.fromCharCode(byte);
      const escaped = `%${byte.toString(16).padStart(2, '0')}`;
      expect(canonicalUrl(`http://m.example/a${escaped}`)).toMatchObject({
        url: `http://m.example/${escapePath(`a${char}`)}`,
      });
    }
  });
});

it('wireUrl asks for + as apt does', () => {
  expect(wireUrl('http://m.example/g++?a+b')).toBe('http://m.example/g%2B%2B?a+b');
  expect(wireUrl('http://m.example/g++')).toBe('http://m.example/g%2B%2B');
});
