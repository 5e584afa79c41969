import { once } from 'node:events';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { isLoopbackHost, StatusPage } from '../../node/doors/status/page.ts';
import type { Clock } from '../../node/platform/clock.ts';
import { waysFixture } from '../fixtures/ways.ts';
import { sampleReport } from '../support/sample-report.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A page whose period passes when the test says so. */
async function fixture(options: { watchersMax?: number } = {}) {
  const ticks = new Set<() => void>();
  const clock = {
    every: (_ms: number, fn: () => void) => {
      ticks.add(fn);
      return { cancel: () => void ticks.delete(fn) };
    },
  } as Clock;
  let name = 'ws-1';
  const ways = waysFixture();
  const page = new StatusPage({ ways, report: () => sampleReport({ name }), clock }, options);
  const server = createServer((req, res) => page.handle(req, res, req.url ?? ''));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );
  const { port } = server.address() as AddressInfo;
  const open = async (path: string, host = `localhost:${port}`): Promise<IncomingMessage> => {
    const [res] = await once(get({ port, path, host: '127.0.0.1', headers: { host } }), 'response');
    return res;
  };
  const ask = async (path: string, host?: string) => {
    const res = await open(path, host);
    const chunks: Buffer[] = [];
    for await (const chunk of res) chunks.push(chunk);
    return { status: res.statusCode, headers: res.headers, text: Buffer.concat(chunks).toString() };
  };
  const rename = (next: string) => {
    name = next;
  };
  return { ask, open, page, ticks, rename, ways };
}

test('/status.json is the report', async () => {
  const { ask } = await fixture();
  const answer = await ask('/status.json?pretty');
  expect(answer.headers['content-type']).toContain('application/json');
  expect(JSON.parse(answer.text)).toEqual(sampleReport({ name: 'ws-1' }));
});

test('/ shows figures without scripts, escaped, and lets only its own script run', async () => {
  const { ask, rename } = await fixture();
  rename('<script>alert(1)</script>$&');
  const answer = await ask('/');
  expect(answer.text).toMatch(/<noscript><table>/);
  expect(answer.text).toMatch(/<div title="[^"]+"><dt>apt\.requests<\/dt><dd><\/dd><\/div>/);
  expect(answer.text).toContain('&#60;script&#62;alert(1)&#60;/script&#62;$&#38;');
  expect(answer.text).not.toContain('<script>alert');
  expect(answer.headers['content-security-policy']).toMatch(
    /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; connect-src 'self';/,
  );
});

test('/ways.json tells of a URL, an object, a request, or all', async () => {
  const { ask, ways } = await fixture();
  const url = 'http://archive.ubuntu.com/ubuntu/pool/libstdc++6_14~1_amd64.deb';
  const digest = 'd'.repeat(64);
  const { id } = ways.begin('apt', url);
  ways.begin('peer', digest, 'abc-1');
  const told = async (query: string) => {
    const { text } = await ask(`/ways.json${query}`);
    return (JSON.parse(text).ways as { id: string }[]).map((way) => way.id);
  };
  expect(await told('')).toEqual(['abc-1', id]);
  expect(await told(`?digest=${digest}`)).toEqual(['abc-1']);
  expect(await told('?id=abc-1')).toEqual(['abc-1']);
  // As it stands, as a form escapes it, and as apt prints it.
  const apts = url.replaceAll('+', '%2b').replace('~', '%7e');
  for (const spelling of [url, encodeURIComponent(url), encodeURIComponent(apts), `${url}?x=1`]) {
    expect(await told(`?url=${spelling}`), spelling).toEqual([id]);
  }
  expect(await told('?url=nonsense')).toEqual([]);
});

test.each(['/favicon.ico', '/status', '/../x'])('%s is 404 with a clear line', async (path) => {
  const { ask } = await fixture();
  const answer = await ask(path);
  expect(answer.status).toBe(404);
  expect(answer.text).toMatch(/^debherd: no page .+\n$/);
});

test.each([
  ['localhost', true],
  ['LOCALHOST:3142', true],
  ['127.0.0.1:3142', true],
  ['127.9.9.9', true],
  ['[::1]:3142', true],
  [undefined, true],
  ['evil.example:3142', false],
  ['localhost.evil.example', false],
  ['10.0.0.1', false],
  ['', false],
])('Host %s is a loopback host: %s', (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected);
});

test('a page under a rebound name reads nothing', async () => {
  const { ask } = await fixture();
  for (const path of ['/', '/status.json', '/events', '/ways.json']) {
    const answer = await ask(path, 'evil.example:3142');
    expect(answer.status).toBe(403);
    expect(answer.text).not.toContain('ws-1');
  }
});

test('/events: one timer while somebody watches, a report at once and one per period', async () => {
  const { open, ticks, rename } = await fixture();
  expect(ticks.size).toBe(0);
  const first = await open('/events');
  const second = await open('/events');
  expect(first.headers['content-type']).toContain('text/event-stream');
  const nameIn = async (res: IncomingMessage) => {
    const [chunk] = await once(res, 'data');
    return JSON.parse(String(chunk).replace(/^data: /, '')).name;
  };
  expect(await nameIn(first)).toBe('ws-1');
  expect(await nameIn(second)).toBe('ws-1');
  expect(ticks.size).toBe(1);
  rename('ws-2');
  const both = Promise.all([nameIn(first), nameIn(second)]);
  for (const tick of ticks) tick();
  expect(await both).toEqual(['ws-2', 'ws-2']);
  first.destroy();
  second.destroy();
  while (ticks.size > 0) await new Promise((resolve) => setTimeout(resolve, 2));
});

test('too many watchers are refused, and close ends the others', async () => {
  const { open, ask, page } = await fixture({ watchersMax: 1 });
  const watcher = await open('/events');
  expect((await ask('/events')).status).toBe(503);
  watcher.resume();
  page.close();
  await once(watcher, 'end');
});
