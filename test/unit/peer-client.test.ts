// Connections to a peer: used again, given up, refused; against a real server with the key.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../node/platform/clock.ts';
import { PeerClient } from '../../node/wire/peer-client.ts';
import type { Exchange, PeerRequest } from '../../node/wire/peer-exchange.ts';
import { pskCredentials } from '../../node/wire/tls-psk.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const credentials = pskCredentials(Buffer.alloc(32, 7));
const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0).reverse()) end();
});

const servers: Server[] = [];

async function listening(server: Server) {
  servers.push(server);
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, connections: () => sockets.size };
}

const serve = (answer: (request: IncomingMessage, response: ServerResponse) => void) =>
  listening(createServer(credentials.server(), answer));

/** A server that sends what it likes for each request. */
const raw = (answer: (socket: TLSSocket, count: number) => void) => {
  let count = 0;
  const server = createTlsServer(credentials.server(), (socket) => {
    socket.on('error', () => {});
    socket.on('data', () => answer(socket, ++count));
  });
  return listening(server);
};

/** Takes all connections, and shakes hands with none of the first `deaf`. */
async function deafAtFirst(deaf: number) {
  const { port: inner } = await serve((_request, response) => response.end('heard'));
  let count = 0;
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    if (++count <= deaf) return;
    const there = connect(inner, '127.0.0.1').on('error', () => {});
    socket.pipe(there).pipe(socket);
  });
  const { port } = await listening(server);
  return { port, connections: () => count };
}

/**
 * A socket that nobody accepts from. `lose` fills its queue: from then on no SYN is answered, as by
 * a machine without power.
 */
async function losable(script = 'sleep 60') {
  const listen = 'IO::Socket::INET->new(Listen => 8, LocalAddr => "127.0.0.1")';
  const uses = 'use IO::Socket::INET; use IO::Select; $| = 1;';
  const whole = `${uses} $s = ${listen}; print $s->sockport; ${script}`;
  const holder = spawn('perl', ['-e', whole], { stdio: ['ignore', 'pipe', 'inherit'] });
  ends.push(() => holder.kill('SIGKILL'));
  const [printed] = await once(holder.stdout, 'data');
  const port = Number(printed);
  const lose = async () => {
    for (;;) {
      const socket = connect(port, '127.0.0.1').on('error', () => {});
      ends.push(() => socket.destroy());
      const taken = once(socket, 'connect').then(() => true);
      if (!(await Promise.race([taken, sleep(200, false)]))) return;
    }
  };
  return { port, lose };
}

function client(
  port: number,
  options: Partial<ConstructorParameters<typeof PeerClient>[1]> = {},
  clock: Clock = systemClock,
) {
  const made = new PeerClient(
    { clock },
    {
      address: '127.0.0.1',
      port,
      tls: credentials.client('127.0.0.1'),
      connectTimeoutMs: 5_000,
      reachMs: 5_000,
      retryMs: 5_000,
      connectionsMax: 4,
      ...options,
    },
    Buffer.alloc(16 * 1024),
  );
  ends.push(() => made.close());
  return made;
}

interface Running {
  readonly exchange: Exchange;
  readonly text: Promise<string>;
  /** What has come of it. */
  seen(): string;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1);
}

/** Whatever went to `port` before is there, or refused, when it resolves. */
async function passed(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  ends.push(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  await nextTurn();
}

const get: PeerRequest = { method: 'GET', path: '/', headers: {}, body: undefined };

function ask(from: PeerClient, request: Partial<PeerRequest> = {}, fresh = false): Running {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  promise.catch(() => {});
  let text = '';
  const exchange = from.request(
    { ...get, ...request },
    {
      started() {},
      head(status) {
        text = `${status} `;
      },
      data: (bytes) => {
        text += bytes.toString();
      },
      end: () => resolve(text),
      failed: reject,
    },
    fresh,
  );
  return { exchange, text: promise, seen: () => text };
}

test('what is asked arrives, and what is answered comes back', async () => {
  const { port } = await serve(async (request, response) => {
    const body = (await request.toArray()).join('');
    const { host, 'x-a': a } = request.headers;
    response.end(JSON.stringify([request.method, request.url, host, a, body]));
  });
  const headers = { 'x-a': 'b' };
  const post = ask(client(port), { method: 'POST', path: '/v1/x?y', headers, body: 'grüße' });
  const host = `127.0.0.1:${port}`;
  expect(await post.text).toBe(`200 ${JSON.stringify(['POST', '/v1/x?y', host, 'b', 'grüße'])}`);
});

test('a connection is used again, several at once are as many, the rest waits', async () => {
  const { port, connections } = await serve((_request, response) => {
    setTimeout(() => response.end('ok'), 20);
  });
  const some = client(port, { connectionsMax: 3 });
  for (const _ of [1, 2, 3]) expect(await ask(some).text).toBe('200 ok');
  expect(connections()).toBe(1);
  const all = await Promise.all(Array.from({ length: 8 }, () => ask(some).text));
  expect(all).toEqual(Array(8).fill('200 ok'));
  expect(connections()).toBe(3);
});

test('many at once: no more than two handshakes at a time', async () => {
  const { port: inner } = await serve((_request, response) => response.end('ok'));
  let shaking = 0;
  let most = 0;
  const server = createTcpServer(async (socket) => {
    most = Math.max(most, ++shaking);
    socket.on('error', () => {});
    await sleep(20);
    const there = connect(inner, '127.0.0.1').on('error', () => {});
    there.once('data', () => shaking--);
    socket.pipe(there).pipe(socket);
  });
  const { port } = await listening(server);
  const some = client(port, { connectionsMax: 8 });
  const all = await Promise.all(Array.from({ length: 8 }, () => ask(some).text));
  expect(all).toEqual(Array(8).fill('200 ok'));
  expect(most).toBe(2);
});

test('fresh means a connection that was never used', async () => {
  const { port, connections } = await serve((_request, response) => response.end('ok'));
  const some = client(port);
  await ask(some).text;
  expect(await ask(some, {}, true).text).toBe('200 ok');
  expect(connections()).toBe(2);
});

test('a server that says close is taken at its word', async () => {
  const { port, connections } = await serve((_request, response) => {
    response.setHeader('connection', 'close').end('ok');
  });
  const some = client(port);
  expect([await ask(some).text, await ask(some).text]).toEqual(['200 ok', '200 ok']);
  expect(connections()).toBe(2);
});

test('paused it reads no more than is on its way, resumed all of it', async () => {
  const body = Buffer.alloc(8 * 1024 * 1024, 'x');
  const { port } = await serve((_request, response) => response.end(body));
  let bytes = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const exchange = client(port).request(get, {
    started() {},
    head() {},
    data(chunk) {
      bytes += chunk.length;
      if (bytes < 100_000) exchange.pause();
    },
    end: resolve,
    failed: reject,
  });
  await until(() => exchange.paused);
  const before = bytes;
  for (let turn = 0; turn < 100; turn++) await nextTurn();
  expect([bytes, exchange.paused]).toEqual([before, true]);
  expect(bytes).toBeLessThan(500_000);
  exchange.resume();
  while (exchange.paused || bytes < body.length) {
    exchange.resume();
    await sleep(5);
  }
  await promise;
  expect(bytes).toBe(body.length);
});

describe('given up', () => {
  test('while it runs: its connection ends, others are not touched', async () => {
    const { port } = await serve((request, response) => {
      if (request.url === '/slow') response.write('begin');
      else setTimeout(() => response.end('ok'), 50);
    });
    const some = client(port);
    const slow = ask(some, { path: '/slow' });
    const other = ask(some);
    await sleep(20);
    slow.exchange.abort(new Error('enough'));
    await expect(slow.text).rejects.toThrow('enough');
    expect(await other.text).toBe('200 ok');
    expect(await ask(some).text).toBe('200 ok');
  });

  test('while it waits for a connection', async () => {
    const { port } = await serve((_request, response) => setTimeout(() => response.end('ok'), 50));
    const some = client(port, { connectionsMax: 1 });
    const first = ask(some);
    const second = ask(some);
    const third = ask(some);
    second.exchange.abort(new Error('enough'));
    await expect(second.text).rejects.toThrow('enough');
    expect([await first.text, await third.text]).toEqual(['200 ok', '200 ok']);
  });

  test('with the client', async () => {
    const { port } = await serve(() => {});
    const some = client(port, { connectionsMax: 1 });
    const all = [ask(some), ask(some)];
    some.close();
    for (const { text } of all) await expect(text).rejects.toThrow('closed');
  });

  test('with the client, before it was asked', async () => {
    const { port, connections } = await serve((_request, response) => response.end('ok'));
    const some = client(port);
    some.close();
    await expect(ask(some).text).rejects.toThrow('closed');
    expect(connections()).toBe(0);
  });
});

describe('a peer that', () => {
  test('closes in the middle: ECONNRESET', async () => {
    const { port } = await raw((socket) =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx'),
    );
    await expect(ask(client(port)).text).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('says two answers: neither counts, and its connection is not used again', async () => {
    const answer = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${body}`;
    const { port, connections } = await raw((socket, count) => {
      socket.write(count === 1 ? answer('a') + answer('b') : answer('c'));
    });
    const some = client(port);
    await expect(ask(some).text).rejects.toThrow('nobody asked');
    expect(await ask(some).text).toBe('200 c');
    expect(connections()).toBe(2);
  });

  test('begins a second answer: the first counts, the rest meets no other request', async () => {
    const answer = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n${body}`;
    const { port, connections } = await raw((socket, count) => {
      socket.write(count === 1 ? `${answer('a')}HTTP/1.1 299 STALE\r\nx: ` : answer('b'));
    });
    const some = client(port);
    expect([await ask(some).text, await ask(some).text]).toEqual(['200 a', '200 b']);
    expect(connections()).toBe(2);
  });

  test('speaks when nobody asked: that connection is not used again', async () => {
    const { port, connections } = await raw((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\n'), 30);
    });
    const some = client(port);
    expect(await ask(some).text).toBe('200 ok');
    await sleep(80);
    expect(await ask(some).text).toBe('200 ok');
    expect(connections()).toBe(2);
  });

  test('closes an idle connection: the next request goes out on another', async () => {
    const { port } = await serve((request, response) => {
      response.end('ok', () => request.url === '/last' && request.socket.end());
    });
    // At every moment from the end that the peer sends to the close of the connection.
    for (let turns = 0; turns < 40; turns++) {
      const some = client(port);
      await ask(some, { path: '/last' }).text;
      for (let turn = 0; turn < turns; turn++) await new Promise((next) => setImmediate(next));
      const seen = await ask(some).text.catch((error: NodeJS.ErrnoException) => error.code);
      expect(['200 ok', 'ECONNRESET', 'EPIPE']).toContain(seen);
      expect(await ask(some, {}, true).text).toBe('200 ok');
      some.close();
    }
  });

  test('answers with rubbish', async () => {
    const { port } = await raw((socket) => socket.write('220 mail.example ESMTP\r\n'));
    await expect(ask(client(port)).text).rejects.toThrow('no answer of HTTP/1.1');
  });

  test('takes the connection and never shakes hands: an error in time', async () => {
    const clock = new ManualClock();
    const { port } = await deafAtFirst(1);
    const asked = ask(client(port, { connectTimeoutMs: 100 }, clock));
    await passed(port);
    clock.advance(100);
    await expect(asked.text).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  });

  test('misses the first handshake: the request goes by the second connection', async () => {
    const clock = new ManualClock();
    const { port, connections } = await deafAtFirst(1);
    const some = client(port, { retryMs: 50 }, clock);
    const asked = ask(some);
    await until(() => connections() === 1);
    clock.advance(50);
    expect(await asked.text).toBe('200 heard');
    expect(connections()).toBe(2);
    // Neither is tried for a request that has found its way.
    expect(await ask(some).text).toBe('200 heard');
    expect(connections()).toBe(2);
  });

  test('never shakes hands: three are tried, and all end at the deadline', async () => {
    const clock = new ManualClock();
    const { port, connections } = await deafAtFirst(9);
    const asked = ask(client(port, { retryMs: 50, connectTimeoutMs: 120 }, clock));
    for (const [count, passMs] of [
      [1, 50],
      [2, 50],
      [3, 19],
    ] as const) {
      await until(() => connections() === count);
      clock.advance(passMs);
    }
    expect(await Promise.race([asked.text, nextTurn('waits')])).toBe('waits');
    clock.advance(1);
    await expect(asked.text).rejects.toThrow(/within 120 ms/);
    expect(connections()).toBe(3);
  });

  test('never shakes hands with many: each of them hears of it at the first deadline', async () => {
    const { port, connections } = await deafAtFirst(99);
    const clock = new ManualClock();
    const some = client(port, { connectTimeoutMs: 100, connectionsMax: 8 }, clock);
    const asked = Array.from({ length: 8 }, () => ask(some));
    await until(() => connections() === 2);
    clock.advance(100);
    for (const { text } of asked) await expect(text).rejects.toThrow(/within 100 ms/);
    expect(connections()).toBe(2);
  });

  test('misses a handshake, and nobody waits for it any more: no second one', async () => {
    const { port, connections } = await deafAtFirst(9);
    const clock = new ManualClock();
    const given = ask(client(port, { retryMs: 30, connectTimeoutMs: 200 }, clock));
    given.exchange.abort(new Error('enough'));
    await expect(given.text).rejects.toThrow('enough');
    await until(() => connections() === 1);
    const timers = clock.pending;
    clock.advance(30);
    // A second connection would have deadlines of its own.
    expect(clock.pending).toBe(timers - 1);
  });

  test('has lost its power: that is known before the time for a handshake is over', async () => {
    const { port, lose } = await losable();
    await lose();
    const clock = new ManualClock();
    const asked = ask(client(port, { reachMs: 50, connectTimeoutMs: 60_000 }, clock));
    clock.advance(50);
    await expect(asked.text).rejects.toThrow(/no machine answers at 127\.0\.0\.1:\d+ within 50 ms/);
  });

  test('loses its power while it is asked: a probe ends what is under way', async () => {
    const clock = new ManualClock();
    const { port, lose } = await losable();
    const some = client(port, { reachMs: 100, connectTimeoutMs: 60_000 }, clock);
    const asked = [ask(some), ask(some)];
    some.probe();
    await passed(port);
    clock.advance(100);
    const any = Promise.race(asked.map(({ text }) => text.catch(() => 'failed')));
    expect(await Promise.race([any, nextTurn('all wait')])).toBe('all wait');
    await lose();
    some.probe();
    clock.advance(100);
    for (const { text } of asked) await expect(text).rejects.toMatchObject({ code: 'ETIMEDOUT' });
  });

  test('answers no SYN, but an old connection gives bytes: a probe ends nothing', async () => {
    const clock = new ManualClock();
    const { promise: answering, resolve: answer } = Promise.withResolvers<ServerResponse>();
    const served = await serve((_request, response) => answer(response));
    // Takes one connection, and passes on what comes through it.
    const { port, lose } = await losable(`
      $c = $s->accept;
      $u = IO::Socket::INET->new(PeerAddr => "127.0.0.1:${served.port}");
      $select = IO::Select->new($c, $u);
      while (@ready = $select->can_read) {
        for (@ready) { sysread($_, $data, 9999) or exit; syswrite($_ == $c ? $u : $c, $data) }
      }`);
    const some = client(port, { reachMs: 100 }, clock);
    const asked = ask(some);
    const response = await answering;
    await lose();
    some.probe();
    response.write('some');
    await until(() => asked.seen() === '200 some');
    clock.advance(100);
    response.end(' all');
    expect(await asked.text).toBe('200 some all');
  });

  test('is there, while this process itself got no CPU for longer: that is no reason', async () => {
    const { port } = await serve(
      (_request, response) => void setTimeout(() => response.end(), 100),
    );
    const some = client(port, { reachMs: 50 });
    // After it timers are due first, then what came over the network.
    const pauseAfter = async (begin: () => unknown) => {
      await nextTurn();
      begin();
      for (const endMs = performance.now() + 150; performance.now() < endMs; );
    };
    const asked: Running[] = [];
    await pauseAfter(() => asked.push(ask(some)));
    await sleep(20);
    await pauseAfter(() => some.probe());
    expect(await asked[0]?.text).toBe('200 ');
  });

  test('has ended, and its machine has not: a probe tells nothing that is not known', async () => {
    const clock = new ManualClock();
    const { promise: answering, resolve: answer } = Promise.withResolvers<ServerResponse>();
    const { port } = await serve((_request, response) => answer(response));
    const some = client(port, { reachMs: 50 }, clock);
    const asked = ask(some);
    const response = await answering;
    servers.at(-1)?.close();
    some.probe();
    await passed(port);
    clock.advance(50);
    response.end();
    expect(await asked.text).toBe('200 ');
  });

  test('is not there', async () => {
    await expect(ask(client(1)).text).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  test('has an address that is none: each request fails by itself, after it was made', async () => {
    const some = client(70_000, { connectTimeoutMs: 10 });
    for (const _ of [1, 2]) {
      await expect(ask(some).text).rejects.toMatchObject({ code: 'ERR_SOCKET_BAD_PORT' });
    }
    await sleep(20);
  });

  test('does not know the key', async () => {
    const stranger = createTlsServer(pskCredentials(Buffer.alloc(32, 8)).server(), () => {});
    const { port } = await listening(stranger as never);
    await expect(ask(client(port)).text).rejects.toThrow();
  });
});
