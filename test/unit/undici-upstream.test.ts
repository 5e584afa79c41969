import { randomBytes } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../node/platform/clock.ts';
import { seededRandom } from '../../node/platform/random.ts';
import {
  UndiciUpstream,
  type UndiciUpstreamOptions,
} from '../../node/transfer/upstream/undici-upstream.ts';
import { createUpstreamGuard } from '../../node/transfer/upstream/upstream-guard.ts';
import {
  answer,
  breakAfter,
  type FaultyServer,
  faultyServer,
  type Handler,
  never,
  reset,
  serve,
  stallAfter,
} from '../support/faulty-server.ts';

const body = randomBytes(300_000);
const cleanups: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function fixture(handlers: Handler[], options: Partial<UndiciUpstreamOptions> = {}) {
  const server = await faultyServer(...handlers);
  const upstream = upstreamTo([server], options);
  cleanups.push(() => server.close());
  const get = (extra: Partial<Parameters<UndiciUpstream['fetch']>[0]> = {}) =>
    upstream.fetch({ url: `${server.url}/pool/a.deb`, immutable: true, ...extra });
  return { server, upstream, get };
}

function upstreamTo(servers: FaultyServer[], options: Partial<UndiciUpstreamOptions> = {}) {
  const upstream = new UndiciUpstream(
    {
      guard: createUpstreamGuard(
        { archives: () => servers.map((server) => server.host) },
        { allow: [] },
      ),
      clock: systemClock,
      random: seededRandom(1),
    },
    { version: '1.2.3', backoffMs: 5, bodyTimeoutMs: 150, noProgressMs: 2000, ...options },
  );
  cleanups.push(() => upstream.close());
  return upstream;
}

async function read(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

test('gives size, validators and bytes, and asks for the bytes as they are', async () => {
  const headers = { etag: '"x"', 'last-modified': 'Sat, 01 Aug 2026 10:00:00 GMT' };
  const { server, get } = await fixture([serve(body, headers)]);
  const response = await get();
  expect(response).toMatchObject({ status: 200, from: 0, size: body.length, etag: '"x"' });
  expect(response.lastModified).toBe(headers['last-modified']);
  expect((await read(response.body)).equals(body)).toBe(true);
  expect(server.requests[0]?.headers).toMatchObject({
    'accept-encoding': 'identity',
    'user-agent': 'debherd/1.2.3',
  });
});

test('asks for + as %2B, as apt does: some object stores read + as a space', async () => {
  const { server, upstream } = await fixture([serve(body)]);
  const url = `${server.url}/pool/libc++_1+b1.deb?a+b`;
  await read((await upstream.fetch({ url, immutable: true })).body);
  expect(server.requests[0]?.url).toBe('/pool/libc%2B%2B_1%2Bb1.deb?a+b');
});

test.each([
  ['two 500s', [answer(500), answer(503), serve(body)]],
  ['429 with Retry-After', [answer(429, { 'retry-after': '0' }), serve(body)]],
  ['a reset before the answer', [reset, serve(body)]],
])('tries again after %s', async (_name, handlers) => {
  const { server, get } = await fixture(handlers);
  const response = await get();
  expect((await read(response.body)).equals(body)).toBe(true);
  expect(server.requests).toHaveLength(handlers.length);
});

test.each([403, 404, 410])('%i is an answer, not tried again', async (status) => {
  const { server, get } = await fixture([answer(status, {}, '<html>no</html>')]);
  const response = await get();
  expect(response.status).toBe(status);
  expect(await read(response.body)).toHaveLength(0);
  expect(server.requests).toHaveLength(1);
});

test('gives up on lasting 5xx with what was tried', async () => {
  const { server, get } = await fixture([answer(502)], { attemptsMax: 3 });
  await expect(get()).rejects.toMatchObject({
    code: 'UPSTREAM_ERROR',
    message: expect.stringContaining('answers 502'),
    tried: { length: 3 },
  });
  expect(server.requests).toHaveLength(3);
});

test('a refused port is UPSTREAM_UNREACHABLE', async () => {
  const { server, get } = await fixture([never], { attemptsMax: 2 });
  await server.close();
  await expect(get()).rejects.toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
});

test('no answer in time is UPSTREAM_STALLED', async () => {
  const { get } = await fixture([never], { headersTimeoutMs: 100, attemptsMax: 1 });
  await expect(get()).rejects.toMatchObject({ code: 'UPSTREAM_STALLED' });
});

test.each([
  ['closed early', breakAfter(body, 100_000)],
  ['stalled', stallAfter(body, 100_000)],
])('resumes by range a body that %s', async (_name, broken) => {
  const { server, get } = await fixture([broken, serve(body)]);
  const response = await get();
  expect((await read(response.body)).equals(body)).toBe(true);
  expect(server.requests[1]?.headers.range).toBe('bytes=100000-');
  expect(server.requests[1]?.headers['if-range']).toBeUndefined();
});

test('skips what it already gave when upstream starts over', async () => {
  const { server, get } = await fixture([
    breakAfter(body, 100_000),
    (_req, res) => res.writeHead(200, { 'content-length': body.length }).end(body),
  ]);
  expect((await read((await get()).body)).equals(body)).toBe(true);
  expect(server.requests).toHaveLength(2);
});

test('resumes changing bytes only with their validator', async () => {
  const headers = { etag: '"v1"' };
  const { server, get } = await fixture([breakAfter(body, 100_000, headers), serve(body, headers)]);
  expect((await read((await get({ immutable: false })).body)).equals(body)).toBe(true);
  expect(server.requests[1]?.headers['if-range']).toBe('"v1"');
});

test.each([
  ['have no validator', {}, serve(body)],
  ['have a weak one', { etag: 'W/"v1"' }, serve(body)],
  [
    'changed',
    { etag: '"v1"' },
    (_req, res) => void res.writeHead(200, { 'content-length': body.length }).end(body),
  ],
] as [string, Record<string, string>, Handler][])(
  'does not mix bytes that %s',
  async (_name, headers, again) => {
    const { get } = await fixture([breakAfter(body, 100_000, headers), again]);
    const response = await get({ immutable: false });
    await expect(read(response.body)).rejects.toMatchObject({ code: 'UPSTREAM_ERROR' });
  },
);

test('a source that stalls for good ends as UPSTREAM_STALLED within the limit', async () => {
  const { get } = await fixture([stallAfter(body, 1000), never], { noProgressMs: 100 });
  const response = await get();
  await expect(read(response.body)).rejects.toMatchObject({ code: 'UPSTREAM_STALLED' });
});

test('a slow drip is not a stall', async () => {
  const { server, get } = await fixture([
    (_req, res) => {
      res.writeHead(200, { 'content-length': 6 });
      let sent = 0;
      const timer = setInterval(() => {
        res.write('x');
        if (++sent === 6) clearInterval(timer);
      }, 60);
    },
  ]);
  expect((await read((await get()).body)).toString()).toBe('xxxxxx');
  expect(server.requests).toHaveLength(1);
});

test('continues at `from`, and from 0 when upstream cannot', async () => {
  const { get } = await fixture([serve(body), answer(416), serve(body)]);
  const continued = await get({ from: 200_000 });
  expect(continued).toMatchObject({ status: 200, from: 200_000, size: body.length });
  expect((await read(continued.body)).equals(body.subarray(200_000))).toBe(true);
  const whole = await get({ from: 200_000 });
  expect(whole.from).toBe(0);
  expect((await read(whole.body)).equals(body)).toBe(true);
});

test('refuses a 206 that starts elsewhere', async () => {
  const wrong = { 'content-range': 'bytes 5-9/300000', 'content-length': '5' };
  const { get } = await fixture([answer(206, wrong, 'abcde')]);
  await expect(get({ from: 7 })).rejects.toMatchObject({ code: 'UPSTREAM_ERROR' });
});

test('a resumed file of another size is an error', async () => {
  const { get } = await fixture([breakAfter(body, 100_000), serve(Buffer.concat([body, body]))]);
  await expect(read((await get()).body)).rejects.toThrow('file changed');
});

test('passes conditions on and gives 304', async () => {
  const { server, get } = await fixture([answer(304, { etag: '"v1"' })]);
  const response = await get({ immutable: false, ifNoneMatch: '"v1"' });
  expect(response.status).toBe(304);
  expect(server.requests[0]?.headers['if-none-match']).toBe('"v1"');
});

test('follows redirects, without credentials to another origin', async () => {
  const target = await faultyServer(serve(body));
  const first = await faultyServer(answer(302, { location: `${target.url}/b.deb` }));
  cleanups.push(
    () => target.close(),
    () => first.close(),
  );
  const upstream = upstreamTo([target, first]);
  const response = await upstream.fetch({
    url: `${first.url}/a.deb`,
    immutable: true,
    authorization: 'Basic eA==',
  });
  expect(target.requests[0]?.url).toBe('/b.deb');
  expect((await read(response.body)).equals(body)).toBe(true);
  expect(first.requests[0]?.headers.authorization).toBe('Basic eA==');
  expect(target.requests[0]?.headers.authorization).toBeUndefined();
});

test.each([
  ['a loop', '/pool/a.deb', 'UPSTREAM_ERROR'],
  ['a private address', 'http://10.0.0.1/a.deb', 'FORBIDDEN_HOST'],
  ['another scheme', 'file:///etc/shadow', 'FORBIDDEN_HOST'],
])('ends a redirect to %s', async (_name, location, code) => {
  const { get } = await fixture([answer(302, { location })]);
  await expect(get()).rejects.toMatchObject({ code });
});

test('a public name that resolves to a private address is not connected to', async () => {
  const server = await faultyServer(serve(body));
  cleanups.push(() => server.close());
  const upstream = new UndiciUpstream(
    {
      guard: createUpstreamGuard({ archives: () => [] }, { allow: [] }),
      clock: systemClock,
      random: seededRandom(1),
      resolve: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
    },
    { version: '1' },
  );
  cleanups.push(() => upstream.close());
  const url = `http://mirror.example:${server.host.split(':')[1]}/`;
  await expect(upstream.fetch({ url, immutable: false })).rejects.toMatchObject({
    code: 'FORBIDDEN_HOST',
    message: expect.stringContaining('127.0.0.1'),
  });
  expect(server.requests).toHaveLength(0);
});

test('more requests than connections wait their turn', async () => {
  const { server, get } = await fixture([(_req, res) => void setTimeout(() => res.end('ok'), 5)], {
    connectionsPerHost: 2,
  });
  const bodies = await Promise.all(
    Array.from({ length: 12 }, async () => read((await get()).body)),
  );
  expect(bodies.map(String)).toEqual(Array(12).fill('ok'));
  expect(server.peak()).toBe(2);
});

test('a reader that stops ends the connection, even before the first byte', async () => {
  let closed: (() => void) | undefined;
  const end = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const { get } = await fixture([
    (req, res) => {
      req.socket.on('close', () => closed?.());
      stallAfter(body, 1000)(req, res);
    },
  ]);
  const response = await get();
  await response.body[Symbol.asyncIterator]().return?.();
  await end;
});

test('an abort ends the body with its reason', async () => {
  const { get } = await fixture([stallAfter(body, 1000)]);
  const controller = new AbortController();
  const response = await get({ signal: controller.signal });
  const reading = read(response.body);
  controller.abort(new Error('client went away'));
  await expect(reading).rejects.toThrow('client went away');
});
