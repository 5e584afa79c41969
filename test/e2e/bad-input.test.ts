// What people, programs and archives do wrong, against a real daemon: each gets a status and one
// clear line, and the daemon lives on.
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type VerbName, verbs } from '../../node/cli/command-line.ts';
import type { Fault } from '../fixtures/faults.ts';
import { freePort } from '../fixtures/ports.ts';
import { run } from '../fixtures/process.ts';
import { type SoloFixture, soloFixture } from '../fixtures/solo.ts';
import { RawClient } from '../support/raw-client.ts';

const packages = [{ name: 'libtool++', size: 400_000 }];

/** The service "discard" (RFC 863); a port of the system's choice may be another test's by now. */
const closedPort = 9;
let solo: SoloFixture;
let pid = 0;

beforeAll(async () => {
  solo = await soloFixture({
    packages,
    daemon: () => ({
      args: ['--name-freshness', '1ms', '--allow-host', `127.0.0.1:${closedPort}`],
    }),
  });
  expect(await solo.apt.update()).toMatchObject({ code: 0 });
  ({ pid } = solo.daemon);
});

afterAll(() => solo?.close());

afterEach(async () => {
  solo.upstream.faults.clear();
  expect((await solo.daemon.status()).role).toBe('solo');
  expect(solo.daemon.pid).toBe(pid);
});

async function answerTo(bytes: string | Buffer) {
  const client = await RawClient.to(solo.daemon.aptPort);
  const answer = await client.send(bytes).answer();
  client.socket.destroy();
  return answer;
}

const ask = (url: string, ...headers: string[]) =>
  answerTo(`${[`GET ${url} HTTP/1.1`, 'Host: x', ...headers].join('\r\n')}\r\n\r\n`);

async function said(answer: ReturnType<typeof answerTo>): Promise<string> {
  const { status, body } = await answer;
  return `${status} ${body}`;
}

test.each<[string, string | Buffer, RegExp]>([
  ['garbage', 'garbage\r\n\r\n', /^400 debherd: not an HTTP request \(.*\)\n$/],
  ['bytes', Buffer.from([0, 1, 2, 255, 13, 10, 13, 10]), /^400 debherd: not an HTTP request/],
  ['a TLS hello', Buffer.from('1603010200010001fc0303', 'hex'), /^400 debherd: not an HTTP/],
  ['half a request line', 'GET\r\n\r\n', /^400 debherd: not an HTTP request/],
  ['a NUL', 'GET http://x.example/a\0b HTTP/1.1\r\n\r\n', /^400 debherd: /],
  [
    'too many headers',
    `GET / HTTP/1.1\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`,
    /^431 debherd: more than 16384 bytes of headers\n$/,
  ],
  ['POST', 'POST http://x.example/a HTTP/1.1\r\n\r\n', /^405 debherd: POST is not for an apt/],
])('%s', async (_, bytes, line) => {
  expect(await said(answerTo(bytes))).toMatch(line);
});

test.each([
  ['http://m.example/a/../b.deb', /^400 debherd: the path has a \.\. segment\n$/],
  ['http://m.example/a/%2e%2e/b.deb', /^400 debherd: the path has a \.\. segment\n$/],
  ['http://m.example/a%2Fb.deb', /^400 debherd: encoded slash in the path\n$/],
  ['http://m.example/a%00b.deb', /^400 debherd: NUL or control byte in the path\n$/],
  ['http://m.example/a%zz.deb', /^400 debherd: bad percent escape in the path\n$/],
  ['http://m.example/a%5c..%5cb.deb', /^400 debherd: backslash in the path\n$/],
  [
    `http://m.example/${'a'.repeat(9000)}`,
    /^400 debherd: the request target is longer than 8192\n$/,
  ],
  ['ftp://m.example/a.deb', /^400 debherd: the scheme ftp is not http or https\n$/],
  ['http:///a.deb', /^400 debherd: empty host\n$/],
  ['http://m_*.example/a.deb', /^400 debherd: the host has characters that no host name has\n$/],
  ['http://127.0.0.1:22/a.deb', /^403 debherd: port 22 is not for archives/],
  ['http://localhost/a.deb', /^403 debherd: localhost is not a public address and not in/],
  ['http://10.0.0.1/a.deb', /^403 debherd: 10\.0\.0\.1 is not a public address and not in/],
  ['http://nobody.invalid/a.deb', /^502 debherd: nobody\.invalid (has no address|cannot be res)/],
])('%s', async (url, line) => {
  expect(await said(ask(url))).toMatch(line);
});

const pool = () => solo.archive.packages[0]!;
const urlOf = (path: string) => `${solo.upstream.url}${path}`;

test('a port where nobody listens', async () => {
  const line = await said(ask(`http://127.0.0.1:${closedPort}/a.deb`));
  expect(line).toContain(`502 debherd: 127.0.0.1:${closedPort} refuses the connection`);
  expect(line).toContain('(tried: upstream: ');
});

test.each<[Fault, string, RegExp]>([
  [{ kind: 'status', status: 404 }, '/a.deb', /^404 debherd: upstream answered 404 for http/],
  [{ kind: 'status', status: 403 }, '/b.deb', /^403 debherd: upstream answered 403 for http/],
  [{ kind: 'status', status: 501 }, '/c.deb', /^502 debherd: 127.* answers 501 \(tried: upstream/],
  [{ kind: 'html' }, '/d.deb', /^502 debherd: upstream gave a web page for http.*captive portal/],
  [{ kind: 'html' }, '/dists/x/InRelease', /^502 debherd: upstream gave a web page for http/],
])('upstream: %j for %s', async (fault, path, line) => {
  solo.upstream.fault(path, fault);
  const text = await said(ask(urlOf(path)));
  expect(text).toMatch(line);
  expect(text.split('\n')).toHaveLength(2);
});

test.each<Fault>([
  { kind: 'truncate', after: 100_000 },
  { kind: 'content-length', delta: -10 },
  { kind: 'content-length', delta: 10 },
  { kind: 'html' },
  { kind: 'status', status: 503 },
  { kind: 'flip', offset: 5000 },
  { kind: 'refuse' },
])('a listed package, upstream once: %j', async (fault) => {
  await solo.daemon.kill();
  await run('rm', ['-rf', join(solo.dir, 'state')]);
  await solo.daemon.start();
  ({ pid } = solo.daemon);
  await solo.apt.forget(true);
  expect(await solo.apt.update()).toMatchObject({ code: 0 });
  solo.upstream.fault(`/${pool().path}`, fault, 1);
  const first = await solo.apt.download(['libtool++'], ['-o', 'Acquire::Retries=3']);
  expect(first, first.stderr).toMatchObject({ code: 0 });
  expect(first.stdout + first.stderr).not.toContain('Hash Sum mismatch');
  expect(await solo.apt.verify(solo.archive.packages)).toEqual([]);
});

test('+ and %2B are one object; impossible ranges', async () => {
  await solo.daemon.kill();
  await run('rm', ['-rf', join(solo.dir, 'state')]);
  await solo.daemon.start();
  ({ pid } = solo.daemon);
  solo.upstream.reset();
  const url = urlOf(`/${pool().path}`);
  for (const spelling of [url, url.replaceAll('+', '%2B'), url.replaceAll('+', '%2b')]) {
    expect(await ask(spelling)).toMatchObject({ status: 200 });
  }
  expect(solo.upstream.count(`/${pool().path}`).statuses).toMatchObject({ 200: 1 });
  const { size } = pool();
  for (const range of [`bytes=${size}-`, 'bytes=999999999999-', 'bytes=-0']) {
    const { status, headers } = await ask(url, `Range: ${range}`);
    expect([status, headers['content-range']]).toEqual([416, `bytes */${size}`]);
  }
});

const main = fileURLToPath(new URL('../../node/cli/main.ts', import.meta.url));
const debherd = (...args: string[]) =>
  run(process.execPath, [main, ...args], { timeoutMs: 10_000 });

test.each<[string, (file: (name: string) => string) => string[], number, RegExp]>([
  [
    'an unknown key',
    (file) => ['--config', file('unknown.toml')],
    2,
    /unknown key "cache-maxx" in .*unknown\.toml line 1; did you mean "cache-max"\?/,
  ],
  [
    'a bad value',
    () => ['--cache-max', 'lots'],
    2,
    /bad value "lots" for cache-max \(--cache-max\): write a size, like 20GiB or 500MB/,
  ],
  [
    'no such file',
    (file) => ['--config', file('none')],
    2,
    /there is no configuration file .*none/,
  ],
  [
    'a state that is a file',
    (file) => ['--state', file('short')],
    1,
    /state folder .* is not writable/,
  ],
  [
    'a state in use',
    (file) => ['--state', file('state')],
    1,
    /state folder .* is in use by another/,
  ],
  [
    'no key file',
    (file) => ['--fleet-key-file', file('none')],
    1,
    /fleet key file .* does not exist: make it with "openssl rand -hex 32"/,
  ],
  [
    'a short key',
    (file) => ['--fleet-key-file', file('short')],
    1,
    /fleet key file .* is too short/,
  ],
  [
    'an open key',
    (file) => ['--fleet-key-file', file('open')],
    1,
    /is open to every user: run "chmod/,
  ],
  [
    'a port in use',
    () => ['--apt-listen', `127.0.0.1:${solo.daemon.aptPort}`],
    1,
    /cannot listen on 127\.0\.0\.1:\d+ \(apt-listen\): another program uses it; stop that one or/,
  ],
])('%s: one line and an exit code', async (_, args, code, line) => {
  const file = (name: string) => join(solo.dir, name);
  await writeFile(file('unknown.toml'), 'cache-maxx = "1GiB"\n');
  await writeFile(file('short'), 'short\n', { mode: 0o600 });
  await writeFile(file('open'), 'a key that is long enough\n');
  await chmod(file('open'), 0o644);
  const plain = ['--state', file('other'), '--apt-listen', `127.0.0.1:${await freePort()}`];
  const result = await debherd('run', ...plain, ...args(file));
  expect(result.code).toBe(code);
  expect(result.stdout.toString()).toBe('');
  expect(result.stderr).toMatch(/^debherd: [^\n]+\n$/);
  expect(result.stderr).toMatch(line);
});

test.each(Object.keys(verbs))('debherd %s --help', async (verb) => {
  const { code, stdout, stderr } = await debherd(verb, '--help');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(`${stdout}`).toContain(`Usage: debherd ${verb} `);
  expect(`${stdout}`).toContain(verbs[verb as VerbName].summary);
});
