// Whoever does not know the key gets nothing, and a client that stops reading costs no memory.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deriveFleetKey } from '../../node/fleet/fleet-key.ts';
import { tinyPackages } from '../fixtures/archive.ts';
import { createDaemon, type Daemon } from '../fixtures/daemon.ts';
import { type FleetFixture, fleetFixture } from '../fixtures/fleet.ts';
import { memberFixture } from '../fixtures/members.ts';
import { loopbackAddress } from '../fixtures/ports.ts';
import { runOrThrow } from '../fixtures/process.ts';
import { followerFixture } from '../fixtures/tracker.ts';

const MiB = 1024 * 1024;
let fleet: FleetFixture;
const cleanups: (() => unknown)[] = [];

beforeEach(() => {
  fleet = undefined as never;
});

afterEach(async ({ task }) => {
  if (fleet && task.result?.state === 'fail') {
    for (const { daemon } of fleet.hosts) process.stderr.write(`${daemon.log.slice(-3000)}\n`);
  }
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await fleet?.close();
});

const fleetKey = async () => deriveFleetKey(await readFile(join(fleet.dir, 'fleet.key'), 'utf8'));

/** A server with a certificate, as somebody has who does not know the key. */
async function rogue(address: string) {
  const [key, cert] = [join(fleet.dir, 'tls.key'), join(fleet.dir, 'tls.crt')];
  await runOrThrow('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', '/CN=rogue', '-addext', `subjectAltName=IP:${address}`],
    ...['-keyout', key, '-out', cert],
  ]);
  const seen = { connections: 0, requests: 0 };
  const options = { key: await readFile(key), cert: await readFile(cert), ciphers: 'DEFAULT' };
  const server = createTlsServer(options, (_, response) => {
    seen.requests++;
    response.end('{}');
  });
  server.on('connection', () => seen.connections++);
  server.listen(0, address);
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return { seen, port: (server.address() as AddressInfo).port };
}

test('a member that shows a certificate instead of knowing the key gets no request', async () => {
  const packages = tinyPackages(30);
  fleet = await fleetFixture({ nodes: 2, packages });
  const address = loopbackAddress(9);
  const { seen, port } = await rogue(address);
  const { credentials } = await fleetKey();
  const member = memberFixture(9, { name: 'rogue', address, port, epoch: 1 });
  const { client } = followerFixture(fleet.host(0).daemon.trackerUrl, member, credentials);
  client.start();
  cleanups.push(() => client.close());
  await fleet.complete(3);
  const { apt, daemon } = fleet.host(1);
  expect(await apt.update()).toMatchObject({ code: 0 });
  const result = await apt.download(packages.map(({ name }) => name));
  expect(result, result.stderr).toMatchObject({ code: 0 });
  expect(await apt.verify(fleet.archive.packages)).toEqual([]);
  expect(seen.connections).toBeGreaterThan(0);
  expect(seen.requests).toBe(0);
  const { blames } = await daemon.status();
  expect(blames.map(({ name }) => name)).toContain('rogue');
});

/** Plain BEP 5: a ping and a find_node, as any BitTorrent client sends them. */
const datagrams = [
  'd1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe',
  'd1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:ab1:y1:qe',
  'garbage',
  '',
];

test('a stranger gets nothing out of the DHT, the peer port and the tracker', async () => {
  fleet = await fleetFixture({ nodes: 2 });
  const { daemon } = fleet.host(0);
  const { address, peerPort } = daemon;
  const udp = createSocket('udp4');
  cleanups.push(() => udp.close());
  const heard: string[] = [];
  udp.on('message', (message) => heard.push(`${message}`));
  // A connected socket hears of a port that nobody listens on.
  udp.on('error', (error) => heard.push(error.message));
  await new Promise<void>((resolve) => udp.connect(peerPort, address, resolve));
  for (const text of datagrams) udp.send(text);
  const tracker = new URL(daemon.trackerUrl);
  const wrong = deriveFleetKey('some other key of 16').credentials.client(address);
  for (const port of [peerPort, Number(tracker.port)]) {
    const request = `GET /v1/members HTTP/1.1\r\nHost: ${address}\r\nConnection: close\r\n\r\n`;
    expect.soft(await gotBy(connect(port, address), request)).toBe('');
    for (const options of [{ rejectUnauthorized: false }, wrong] as ConnectionOptions[]) {
      const socket = tlsConnect({ ...options, host: address, port });
      expect.soft(await gotBy(socket, request)).toMatch(/^error: /);
    }
  }
  await sleep(300);
  expect(heard).toEqual([]);
  await fleet.complete();
  // Who knows the key is served at the same place.
  const socket = tlsConnect({
    ...(await fleetKey()).credentials.client(address),
    host: address,
    port: peerPort,
  });
  const good =
    'GET /v1/members HTTP/1.1\r\nHost: x\r\nDebherd-Protocol: 1\r\nConnection: close\r\n\r\n';
  expect(await gotBy(socket, good)).toContain('200 OK');
});

/** All that comes back for a request, or how the connection fails. */
async function gotBy(socket: Socket, request: string): Promise<string> {
  let text = '';
  let failure = '';
  socket.on('data', (chunk) => {
    text += String(chunk);
  });
  socket.on('error', (error) => {
    failure ||= `error: ${error.message}`;
  });
  socket.write(request);
  await once(socket, 'close').catch(() => {});
  return text === '' && 'encrypted' in socket ? failure : text;
}

async function rss(daemon: Daemon): Promise<number> {
  const status = await readFile(`/proc/${daemon.pid}/status`, 'latin1');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** 100 MB under every path, different under each. */
async function largeUpstream(): Promise<string> {
  const block = Buffer.alloc(MiB, 'large');
  const server = createHttpServer(async (request, response) => {
    response.writeHead(200, { 'content-length': 100 * MiB });
    const first = Buffer.from(block);
    first.write(request.url ?? '');
    for (let sent = 0; sent < 100 && !response.destroyed; sent++) {
      if (!response.write(sent === 0 ? first : block))
        await once(response, 'drain').catch(() => {});
    }
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('ten pipelined 100 MB objects to a stalled client are not taken into memory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'debherd-stall-'));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  const host = await largeUpstream();
  const daemon = await createDaemon({
    dir: join(folder, 'state'),
    args: [
      ...['--allow-host', host, '--cache-max', '2GiB', '--apt-sources', folder],
      ...['--apt-lists', folder, '--apt-archives', folder, '--name-freshness', '10m'],
    ],
  });
  cleanups.push(() => daemon.kill('SIGKILL'));
  await daemon.start();
  const get = (name: string) => `GET http://${host}/${name} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  const warm = async () => {
    const client = connect(daemon.aptPort, '127.0.0.1').resume();
    client.write(get('warm.bin'));
    while (client.bytesRead < 100 * MiB) await once(client, 'data');
    client.destroy();
    return await rss(daemon);
  };
  const grew: Record<string, number> = {};
  for (const from of ['upstream', 'store']) {
    if (from === 'store') await daemon.restart();
    const before = await warm();
    const client = connect(daemon.aptPort, '127.0.0.1').pause();
    for (let n = 0; n < 10; n++) client.write(get(`${n}.bin`));
    let most = 0;
    const end = performance.now() + (from === 'store' ? 2_000 : 30_000);
    while (performance.now() < end) {
      most = Math.max(most, await rss(daemon));
      await sleep(50);
      if (from === 'upstream' && (await daemon.status()).objects >= 11) break;
    }
    grew[from] = (most - before) / MiB;
    expect((await daemon.status()).objects).toBe(11);
    client.destroy();
  }
  // Garbage of ten transfers at the speed of memory counts too; what is aimed at is 32.
  expect.soft(grew.store).toBeLessThan(32);
  expect.soft(grew.upstream).toBeLessThan(32);
});
