import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { AptDoor } from '../../node/doors/apt/apt-door.ts';
import { Tunnel, type TunnelOptions } from '../../node/doors/tunnel.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { createUpstreamGuard } from '../../node/transfer/upstream/upstream-guard.ts';
import { waysFixture } from '../fixtures/ways.ts';
import { FakeDelivery } from '../support/fake-delivery.ts';
import { RawClient } from '../support/raw-client.ts';

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A tunnel to `mirror.example`, which resolves to this machine, on `port`. */
async function fixture(port: number, options: Partial<TunnelOptions> = {}, allow?: string[]) {
  const counters = new Counters();
  const guard = createUpstreamGuard(
    { archives: () => [] },
    { allow: allow ?? [`mirror.example:${port}`] },
  );
  const tunnel = new Tunnel(
    {
      guard,
      counters,
      clock: systemClock,
      resolve: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
    },
    { ports: [port], ...options },
  );
  cleanups.push(() => tunnel.close());
  const door = createServer({ allowHalfOpen: true }, (socket) => {
    tunnel.open('mirror.example', port, socket, Buffer.from('first '));
  });
  const client = await RawClient.to(await listening(door));
  cleanups.push(() => client.socket.destroy());
  return { client, counters };
}

test('passes bytes both ways, counts those received, and passes on each end', async () => {
  let ended = false;
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    let heard = '';
    socket.on('data', (chunk) => {
      heard += chunk;
    });
    socket.on('end', () => {
      ended = true;
      socket.end(`heard ${heard}`);
    });
  });
  const { client, counters } = await fixture(await listening(server));
  client.socket.write('second');
  client.socket.end();
  const answer = (await client.closed()).toString();
  expect(answer).toBe('HTTP/1.1 200 Connection established\r\n\r\nheard first second');
  expect(ended).toBe(true);
  expect(counters.get('received.bytes.tunnel')).toBe('heard first second'.length);
});

test('another port is refused', async () => {
  const { client } = await fixture(9999, { ports: [443] });
  const answer = await client.answer();
  expect(answer.status).toBe(403);
  expect(answer.body.toString()).toContain('port 9999');
});

test('a name that resolves to a private address is refused', async () => {
  const port = await listening(createServer());
  const { client } = await fixture(port, {}, []);
  const answer = await client.answer();
  expect(answer.status).toBe(403);
  expect(answer.body.toString()).toContain('127.0.0.1');
});

test('a server that is not there is 502, too many tunnels 503', async () => {
  const gone = createServer();
  const port = await listening(gone);
  gone.close();
  await once(gone, 'close');
  expect((await (await fixture(port)).client.answer()).status).toBe(502);
  expect((await (await fixture(port, { tunnelsMax: 0 })).client.answer()).status).toBe(503);
});

test('CONNECT through the apt door, behind another request, until the door closes', async () => {
  const port = await listening(createServer((socket) => void socket.pipe(socket)));
  const counters = new Counters();
  const guard = createUpstreamGuard({ archives: () => [] }, { allow: [`localhost:${port}`] });
  const door = new AptDoor(
    {
      ways: waysFixture(),
      delivery: new FakeDelivery(() => ({ bytes: Buffer.from('first') })),
      pages: { handle: (_req, res) => void res.end() },
      tunnels: new Tunnel({ guard, counters, clock: systemClock }, { ports: [port] }),
      counters,
      clock: systemClock,
      log: silentLog,
    },
    { listen: [{ host: '::1', port: 0 }] },
  );
  await door.listen();
  const client = await RawClient.to(door.addresses()[0]!.port, '::1');
  client.send('GET http://mirror.example/a HTTP/1.1\r\nHost: x\r\n\r\n');
  client.send(`CONNECT localhost:${port} HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`);
  expect((await client.answer()).body.toString()).toBe('first');
  expect((await client.answer('HEAD')).status).toBe(200);
  client.send('hello');
  await once(client.socket, 'data');
  expect(counters.get('received.bytes.tunnel')).toBe(5);
  await door.close();
  expect((await client.closed()).toString()).toBe('hello');
});
