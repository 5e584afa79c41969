import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { FETCHING_MAX, STARTED_MAX } from '../../node/doors/apt/apt-connection.ts';
import { AptDoor, type AptDoorOptions } from '../../node/doors/apt/apt-door.ts';
import { HerdError } from '../../node/errors.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { waysFixture } from '../fixtures/ways.ts';
import { FakeDelivery, type FakeObject, inPieces } from '../support/fake-delivery.ts';
import { RawClient } from '../support/raw-client.ts';

const HOST = 'archive.ubuntu.com';
const bytes = randomBytes(200_000);
const modified = 'Sat, 01 Aug 2026 10:00:00 GMT';
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fixture(
  find:
    | Record<string, FakeObject>
    | ((path: string) => FakeObject | Promise<FakeObject> | undefined),
  options: Partial<AptDoorOptions> = {},
) {
  const delivery = new FakeDelivery(typeof find === 'function' ? find : (path) => find[path]);
  const counters = new Counters();
  const door = new AptDoor(
    {
      ways: waysFixture(),
      delivery,
      counters,
      clock: systemClock,
      log: silentLog,
      pages: { handle: (_req, res, path) => void res.end(`page ${path}`) },
      tunnels: { open: (host, port, client) => void client.end(`tunnel ${host} ${port}`) },
    },
    { listen: [{ host: '127.0.0.1', port: 0 }], ...options },
  );
  await door.listen();
  cleanups.push(() => door.close());
  const port = door.addresses()[0]!.port;
  const client = async () => {
    const raw = await RawClient.to(port);
    cleanups.push(() => raw.socket.destroy());
    return raw;
  };
  const ask = async (head: string[] = [], path = '/a.deb', method = 'GET') =>
    (await client()).send(request(path, head, method)).answer(method);
  return { delivery, counters, door, port, client, ask };
}

function request(path: string, head: string[] = [], method = 'GET'): string {
  const lines = [`${method} http://${HOST}${path} HTTP/1.1`, `Host: ${HOST}`, ...head];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

describe('one object', () => {
  const objects = { '/a.deb': { bytes, lastModified: modified } };

  test('comes whole, with size, ETag and Last-Modified', async () => {
    const { ask, delivery, counters } = await fixture(objects);
    const answer = await ask();
    expect(answer.status).toBe(200);
    expect(answer.body.equals(bytes)).toBe(true);
    expect(answer.headers).toMatchObject({
      'content-length': '200000',
      'last-modified': modified,
      etag: expect.stringMatching(/^"[0-9a-f]{64}"$/),
    });
    expect(delivery.requests[0]?.url).toBe(`http://${HOST}/a.deb`);
    expect(counters.get('apt.requests')).toBe(1);
    expect(delivery.closed).toBe(1);
  });

  test.each([
    ['absolute form', `http://${HOST}/a.deb`],
    ['origin form', `/${HOST}/a.deb`],
  ])('is asked for in %s', async (_name, target) => {
    const { client } = await fixture(objects);
    const answer = await (await client())
      .send(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
      .answer();
    expect(answer.body.equals(bytes)).toBe(true);
  });

  test('that lies in memory is given without asking, in its turn', async () => {
    const { promise: slow, resolve } = Promise.withResolvers<FakeObject>();
    const { client, delivery } = await fixture({ ...objects, '/slow.deb': slow as never });
    const small = Buffer.from('small');
    delivery.inMemory['/small.deb'] = { bytes: small, whole: () => small };
    const raw = (await client()).send(
      ['/small.deb', '/slow.deb', '/small.deb', '/a.deb'].map((path) => request(path)).join(''),
    );
    expect((await raw.answer()).body.equals(small)).toBe(true);
    expect(delivery.requests.map(({ url }) => new URL(url).pathname)).toEqual([
      '/slow.deb',
      '/a.deb',
    ]);
    resolve({ bytes: Buffer.from('slow') });
    expect(`${(await raw.answer()).body}`).toBe('slow');
    expect((await raw.answer()).body.equals(small)).toBe(true);
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
    expect(delivery.closed).toBe(4);
  });

  test('that lies in memory: a part of it, its head and that it is the same', async () => {
    const { ask, delivery } = await fixture({});
    const small = Buffer.from('small');
    delivery.inMemory['/a.deb'] = { bytes: small, whole: () => small };
    const part = await ask(['Range: bytes=1-2']);
    expect([part.status, `${part.body}`]).toEqual([206, 'ma']);
    const { headers } = await ask([], '/a.deb', 'HEAD');
    expect(headers['content-length']).toBe('5');
    expect((await ask([`If-None-Match: ${headers.etag}`])).status).toBe(304);
    expect((await ask(['Range: bytes=9-'])).status).toBe(416);
    expect(delivery.requests).toEqual([]);
    expect(delivery.closed).toBe(delivery.opened);
  });

  test('that lies in memory, with what no head may have: an error answer', async () => {
    const { ask, delivery, counters } = await fixture({});
    const lastModified = 'never\r\nX-Injected: 1';
    delivery.inMemory['/a.deb'] = { bytes, lastModified, whole: () => bytes };
    const { status, headers } = await ask();
    expect([status, headers['x-injected']]).toEqual([500, undefined]);
    expect(counters.get('apt.errors')).toBe(1);
    expect(delivery.closed).toBe(delivery.opened);
  });

  test('HEAD has the headers and no bytes', async () => {
    const { client, delivery } = await fixture(objects);
    const raw = (await client()).send(request('/a.deb', [], 'HEAD') + request('/a.deb'));
    expect((await raw.answer('HEAD')).headers['content-length']).toBe('200000');
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
    expect(delivery.closed).toBe(2);
  });

  test.each([
    ['bytes=1000-', 1000, 200_000],
    ['bytes=0-0', 0, 1],
    ['bytes=-7', 199_993, 200_000],
    ['bytes=199999-999999', 199_999, 200_000],
  ])('Range: %s', async (range, start, end) => {
    const { ask } = await fixture(objects);
    const answer = await ask([`Range: ${range}`]);
    expect(answer.status).toBe(206);
    expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/200000`);
    expect(answer.body.equals(bytes.subarray(start, end))).toBe(true);
  });

  test.each(['bytes=200000-', 'bytes=-0', 'bytes=999999999999999999999-'])(
    'Range: %s cannot be had',
    async (range) => {
      const { ask } = await fixture(objects);
      const answer = await ask([`Range: ${range}`]);
      expect(answer.status).toBe(416);
      expect(answer.headers['content-range']).toBe('bytes */200000');
    },
  );

  test.each([
    [modified, 206],
    ['Sat, 01 Aug 2026 09:00:00 GMT', 200],
    ['"other"', 200],
  ])('If-Range: %s gives %i', async (validator, status) => {
    const { ask } = await fixture(objects);
    expect((await ask(['Range: bytes=5-', `If-Range: ${validator}`])).status).toBe(status);
  });

  test.each([
    [`If-Modified-Since: ${modified}`, 304],
    ['If-Modified-Since: Sat, 01 Aug 2026 09:00:00 GMT', 200],
    ['If-None-Match: "other"', 200],
    ['If-None-Match: *', 304],
  ])('%s gives %i', async (header, status) => {
    const { client } = await fixture(objects);
    const raw = (await client()).send(request('/a.deb', [header]) + request('/a.deb'));
    expect((await raw.answer()).status).toBe(status);
    // The connection stays in step.
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
  });

  test('comes whole, whatever is asked for, to a client that may hold wrong bytes', async () => {
    const { ask } = await fixture({
      '/a.deb': { bytes, lastModified: modified, mustRestart: true },
    });
    const answer = await ask(['Range: bytes=5-', `If-Range: ${modified}`]);
    expect(answer.status).toBe(200);
    expect(answer.body.equals(bytes)).toBe(true);
  });

  test('says how old it is when upstream could not be asked', async () => {
    const { ask } = await fixture({ '/a.deb': { bytes, stale: true, ageMs: 90_500 } });
    expect((await ask()).headers).toMatchObject({
      age: '90',
      warning: '110 - "Response is Stale"',
      'x-debherd-stale': '90',
    });
  });

  test('Cache-Control: no-cache and credentials are passed on', async () => {
    const { ask, delivery } = await fixture(objects);
    await ask(['Cache-Control: no-cache', 'Authorization: Basic eA==']);
    await ask(['Cache-Control: max-age=0']);
    expect(delivery.requests.map((r) => [r.noCache, r.authorization])).toEqual([
      [true, 'Basic eA=='],
      [false, undefined],
    ]);
  });

  test('+ and %2B are the same object', async () => {
    const { ask, delivery } = await fixture(() => ({ bytes }));
    await ask([], '/g%2B%2B.deb');
    await ask([], '/g++.deb');
    expect(delivery.requests[0]?.url).toBe(delivery.requests[1]?.url);
  });

  test('an empty object and an unknown size', async () => {
    const { client } = await fixture({
      '/empty': { bytes: Buffer.alloc(0) },
      '/open': { bytes, size: undefined as never, read: () => inPieces(bytes) },
    });
    const raw = (await client()).send(request('/empty'));
    expect((await raw.answer()).headers['content-length']).toBe('0');
    const chunked = await raw.send(request('/open', ['Connection: close'])).answer();
    expect(chunked.headers['transfer-encoding']).toBe('chunked');
    const old = (await client()).send(`GET http://${HOST}/open HTTP/1.0\r\n\r\n`);
    const answer = await old.answer();
    expect(answer.headers['transfer-encoding']).toBeUndefined();
    expect(answer.body.equals(bytes)).toBe(true);
  });

  test('an HTTP/1.0 client gets it and the connection ends', async () => {
    const { client } = await fixture(objects);
    const raw = (await client()).send(`GET http://${HOST}/a.deb HTTP/1.0\r\n\r\n`);
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
    expect(await raw.closed()).toHaveLength(0);
  });
});

describe('pipelining', () => {
  test('ten requests are started at once and answered in order', async () => {
    const gates = new Map<string, (object: FakeObject) => void>();
    let allStarted: (() => void) | undefined;
    const started = new Promise<void>((resolve) => {
      allStarted = resolve;
    });
    const { client } = await fixture(
      (path) =>
        new Promise<FakeObject>((resolve) => {
          gates.set(path, resolve);
          if (gates.size === 10) allStarted?.();
        }),
    );
    const paths = Array.from({ length: 10 }, (_, i) => `/${i}.deb`);
    const raw = (await client()).send(paths.map((path) => request(path)).join(''));
    await started;
    for (const path of paths.toReversed()) gates.get(path)?.({ bytes: Buffer.from(path) });
    for (const path of paths) expect((await raw.answer()).body.toString()).toBe(path);
  });

  test('no byte of a later body is read before its turn', async () => {
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    async function* gated() {
      await gate;
      yield bytes;
    }
    const { client, delivery } = await fixture({
      '/1': { bytes, read: () => gated() },
      '/2': { bytes, read: () => inPieces(bytes) },
    });
    const raw = (await client()).send(request('/1') + request('/2') + request('/gone'));
    // The third is answered by the fake at once: then the second had its chance, too.
    while (delivery.requests.length < 3 || delivery.opened < 2) await nextTurn();
    await nextTurn();
    expect(delivery.reads.map((read) => new URL(read.url).pathname)).toEqual(['/1']);
    release?.();
    for (let i = 0; i < 2; i++) expect((await raw.answer()).body.equals(bytes)).toBe(true);
    expect((await raw.answer()).status).toBe(404);
  });

  test('of endless requests only so many are fetched at once, and all are answered', async () => {
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { client, delivery } = await fixture(async () => {
      await gate;
      return { bytes: Buffer.from('x') };
    });
    const raw = (await client()).send(request('/a').repeat(2000));
    while (delivery.requests.length < FETCHING_MAX) await nextTurn();
    for (let i = 0; i < 5; i++) await nextTurn();
    expect(delivery.requests).toHaveLength(FETCHING_MAX);
    release?.();
    for (let i = 0; i < 2000; i++) expect((await raw.answer()).body.toString()).toBe('x');
  });

  test('what is here and waits for its turn keeps nothing else from being fetched', async () => {
    const gate = Promise.withResolvers<void>();
    async function* gated() {
      await gate.promise;
      yield bytes;
    }
    const here = { bytes: Buffer.from('x'), arrived: Promise.resolve() };
    const { client, delivery } = await fixture((path) =>
      path === '/first' ? { bytes, read: gated } : here,
    );
    const raw = (await client()).send(request('/first') + request('/a').repeat(2000));
    while (delivery.requests.length < STARTED_MAX) await nextTurn();
    for (let i = 0; i < 5; i++) await nextTurn();
    // Each of them holds memory until its turn.
    expect(delivery.requests).toHaveLength(STARTED_MAX);
    gate.resolve();
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
    for (let i = 0; i < 2000; i++) expect((await raw.answer()).body.toString()).toBe('x');
  });

  test('garbage behind good requests: these are answered first, then 400', async () => {
    const { client } = await fixture({ '/a.deb': { bytes } });
    const raw = (await client()).send(`${request('/a.deb')}\u0001\u0002 nonsense\r\n\r\n`);
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
    expect((await raw.answer()).status).toBe(400);
    expect(await raw.closed()).toHaveLength(0);
  });

  test('half a request behind a long answer does not time out', async () => {
    let release: (() => void) | undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { client } = await fixture(
      async () => {
        await gate;
        return { bytes };
      },
      { headersTimeoutMs: 50 },
    );
    const whole = request('/b.deb');
    const raw = (await client()).send(request('/a.deb') + whole.slice(0, 20));
    await new Promise((resolve) => setTimeout(resolve, 200));
    release?.();
    expect((await raw.answer()).body.equals(bytes)).toBe(true);
    expect((await raw.send(whole.slice(20)).answer()).body.equals(bytes)).toBe(true);
  });
});

describe('bad input has a status and a clear line, and the door lives on', () => {
  test.each([
    ['garbage', '\u0016\u0003\u0001 hello\r\n\r\n', 400],
    ['half a request line', 'GET\r\n\r\n', 400],
    ['a NUL in the path', `GET http://${HOST}/a\0b HTTP/1.1\r\nHost: x\r\n\r\n`, 400],
    ['an encoded NUL', request('/a%00b'), 400],
    ['..', request('/../../etc/shadow'), 400],
    ['encoded ..', request('/%2e%2e/etc/shadow'), 400],
    ['an encoded slash', request('/a%2fb'), 400],
    ['another scheme', 'GET ftp://x/ HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['oversized headers', request('/a.deb', [`X: ${'y'.repeat(20_000)}`]), 431],
    ['POST', `POST http://${HOST}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`, 405],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n', 405],
    ['CONNECT without a port', 'CONNECT mirror.example HTTP/1.1\r\n\r\n', 400],
    ['an unknown path', request('/none'), 404],
  ])('%s', async (_name, sent, status) => {
    const { client, ask } = await fixture({ '/a.deb': { bytes } });
    const answer = await (await client()).send(sent).answer();
    expect(answer.status).toBe(status);
    expect(answer.body.toString()).toMatch(/^debherd: .+\n$/);
    expect((await ask()).status).toBe(200);
  });

  test('405 names what is allowed', async () => {
    const { ask } = await fixture({});
    expect((await ask([], '/a.deb', 'DELETE')).headers.allow).toBe('GET, HEAD');
  });

  test.each([
    [new HerdError('UPSTREAM_DENIED', 'mirror.example answers 403'), 403],
    [new HerdError('UPSTREAM_UNREACHABLE', 'mirror.example refuses\r\nthe connection'), 502],
    [new HerdError('UPSTREAM_STALLED', 'mirror.example sends nothing'), 504],
    [new Error('a bug'), 500],
  ])('%s', async (error, status) => {
    const { ask, counters } = await fixture(() => Promise.reject(error));
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(answer.body.toString()).toMatch(/^debherd: [^\r\n]+\n$/);
    expect(counters.get('apt.errors')).toBe(status >= 500 ? 1 : 0);
  });

  test('an error says what was tried', async () => {
    const { ask } = await fixture({});
    expect((await ask()).body.toString()).toContain('(tried: upstream: answers 404)');
  });

  test('a client that never ends its headers gets 408', async () => {
    const { client } = await fixture({}, { headersTimeoutMs: 50 });
    expect((await (await client()).send('GET / HTTP/1.1\r\nHo').answer()).status).toBe(408);
  });
});

describe('a body that fails', () => {
  async function* failing(sent: number): AsyncGenerator<Buffer> {
    if (sent > 0) yield bytes.subarray(0, sent);
    throw new HerdError('SOURCE_FAILED', 'the source is gone');
  }

  test('before its first byte is an error answer', async () => {
    const { ask, delivery } = await fixture({ '/a.deb': { bytes, read: () => failing(0) } });
    expect((await ask()).status).toBe(502);
    expect(delivery.closed).toBe(1);
  });

  test.each([
    ['throws', () => failing(1000)],
    ['ends short', () => inPieces(bytes.subarray(0, 1000))],
  ])('and %s in the middle is closed short', async (_name, read) => {
    const { client, delivery, counters } = await fixture({ '/a.deb': { bytes, read } });
    const raw = (await client()).send(request('/a.deb') + request('/a.deb'));
    const answer = await raw.answer();
    expect(answer.headers['content-length']).toBe('200000');
    expect(answer.body.equals(bytes.subarray(0, 1000))).toBe(true);
    expect(await raw.closed()).toHaveLength(0);
    expect(counters.get('apt.errors')).toBe(1);
    while (delivery.closed < delivery.opened) await nextTurn();
  });

  test('never sends more than it announced', async () => {
    const long = Buffer.concat([bytes, bytes]);
    const { client } = await fixture({ '/a.deb': { bytes, read: () => inPieces(long, 150_000) } });
    const answer = await (await client()).send(request('/a.deb')).answer();
    expect(answer.body.length).toBeLessThan(200_000);
  });
});

test('a client that goes away aborts what runs for it, and all content is closed', async () => {
  let abortedWith: unknown;
  const { client, delivery, counters } = await fixture({
    '/a.deb': {
      bytes,
      read: (_start, _end, signal) => {
        signal.addEventListener('abort', () => {
          abortedWith = signal.reason;
        });
        return (async function* () {
          yield bytes.subarray(0, 10);
          await once(signal, 'abort');
          throw new Error('as a source that knows nothing of clients would');
        })();
      },
    },
  });
  const raw = (await client()).send(request('/a.deb').repeat(3));
  await once(raw.socket, 'data');
  raw.socket.destroy();
  while (delivery.closed < 3) await nextTurn();
  expect(abortedWith).toBeInstanceOf(Error);
  expect(counters.get('apt.errors')).toBe(0);
  expect(delivery.requests.every((r) => r.signal.aborted)).toBe(true);
});

test('paths of this node go to its pages, CONNECT to the tunnel', async () => {
  const { client } = await fixture({});
  const page = await (await client())
    .send('GET /status.json?x HTTP/1.1\r\nHost: x\r\n\r\n')
    .answer();
  expect(page.status).toBe(200);
  const raw = (await client()).send('CONNECT mirror.example:443 HTTP/1.1\r\n\r\n');
  expect((await raw.closed()).toString()).toBe('tunnel mirror.example 443');
});

test('close lets a running answer end', async () => {
  let release: (() => void) | undefined;
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { client, door, port, delivery } = await fixture(async () => {
    await gate;
    return { bytes };
  });
  const idle = await client();
  const raw = (await client()).send(request('/a.deb'));
  while (delivery.requests.length < 1) await nextTurn();
  const closing = door.close(5_000);
  await idle.closed();
  await expect(RawClient.to(port)).rejects.toThrow();
  release?.();
  expect((await raw.answer()).body.equals(bytes)).toBe(true);
  await closing;
});

test('a port in use is an error that names it', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  cleanups.push(() => taken.close());
  const { port } = taken.address() as { port: number };
  const listen = ['127.0.0.2', '127.0.0.1'].map((host) => ({ host, port }));
  await expect(fixture({}, { listen })).rejects.toMatchObject({ code: 'EADDRINUSE', port });
  // Nothing is left half open.
  await expect(RawClient.to(port, '127.0.0.2')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 2));
}
