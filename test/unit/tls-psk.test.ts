import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { KiB } from '../../node/limits.ts';
import { systemClock } from '../../node/platform/clock.ts';
import type { ClientTls, Credentials } from '../../node/wire/credentials.ts';
import { Pool } from '../../node/wire/http-client.ts';
import { createServer } from '../../node/wire/http-server.ts';
import { PeerClient } from '../../node/wire/peer-client.ts';
import { pskCredentials } from '../../node/wire/tls-psk.ts';

const ours = pskCredentials(Buffer.alloc(32, 7));
const others = pskCredentials(Buffer.alloc(32, 8));
const host = '127.0.0.1';
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function pskServer(): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = [];
  const server = createServer({ credentials: ours });
  server.get('/*', (request) => {
    requests.push(request.url);
    return { ok: true };
  });
  cleanups.push(() => server.close());
  return { url: await server.listen({ host: '127.0.0.1', port: 0 }), requests };
}

function get(url: string, credentials: Credentials): Promise<number> {
  const pool = new Pool(url, { connect: credentials.client(host) });
  cleanups.push(() => pool.destroy());
  return pool.request({ path: '/x', method: 'GET' }).then(async ({ statusCode, body }) => {
    await body.dump();
    return statusCode;
  });
}

describe('TLS by fleet key', () => {
  it('serves whoever knows the key, on many connections', async () => {
    const { url, requests } = await pskServer();
    expect(await Promise.all([get(url, ours), get(url, ours), get(url, ours)])).toEqual([
      200, 200, 200,
    ]);
    expect(requests).toHaveLength(3);
  });

  it('refuses another key at both ends', async () => {
    const { url, requests } = await pskServer();
    await expect(get(url, others)).rejects.toThrow(/bad record|decrypt|alert|SSL|socket/i);
    expect(requests).toEqual([]);
    expect(await get(url, ours)).toBe(200);
  });

  it('refuses a client without a key', async () => {
    const { url, requests } = await pskServer();
    const pool = new Pool(url, { connect: { rejectUnauthorized: false } });
    cleanups.push(() => pool.destroy());
    await expect(pool.request({ path: '/', method: 'GET' })).rejects.toThrow();
    expect(requests).toEqual([]);
  });

  it('sends no request to a server that shows a certificate', async () => {
    const { port, certificate, received } = await certifiedServer();
    await expect(get(`https://127.0.0.1:${port}`, ours)).rejects.toThrow(/certificate/);
    // Even when the certificate itself would pass, as one of a trusted authority does.
    const pool = new Pool(`https://127.0.0.1:${port}`, { connect: trusting(certificate) });
    cleanups.push(() => pool.destroy());
    await expect(pool.request({ path: '/', method: 'GET' })).rejects.toThrow(/not the fleet key/);
    expect(await received()).toBe(0);
  });

  it('nor does the client for peers', async () => {
    const { port, certificate, received } = await certifiedServer();
    await expect(ask(port, ours.client(host))).rejects.toThrow(/certificate/);
    await expect(ask(port, trusting(certificate))).rejects.toThrow(/not the fleet key/);
    expect(await received()).toBe(0);
  });
});

/** As a client of the fleet, but `certificate` is one that counts. */
function trusting(certificate: Buffer): ClientTls {
  const secureContext = createSecureContext({ ca: certificate, minVersion: 'TLSv1.3' });
  return { ...ours.client(host), secureContext };
}

/** Answers whatever it is asked, and knows no key. */
async function certifiedServer() {
  const own = selfSigned();
  let bytes = 0;
  const server = createTlsServer(own, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    });
  });
  server.on('tlsClientError', () => {});
  const closed: Promise<unknown>[] = [];
  server.on('connection', (socket) => closed.push(once(socket, 'close')));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  const received = async () => {
    await Promise.all(closed);
    return bytes;
  };
  return { port, certificate: own.cert, received };
}

function ask(port: number, tls: ClientTls): Promise<void> {
  const waits = { connectTimeoutMs: 5_000, reachMs: 5_000, retryMs: 5_000 };
  const client = new PeerClient(
    { clock: systemClock },
    { address: '127.0.0.1', port, tls, ...waits, connectionsMax: 1 },
    Buffer.alloc(16 * KiB),
  );
  cleanups.push(() => client.close());
  return new Promise((resolve, reject) => {
    const ignored = { started() {}, head() {}, data() {} };
    client.request(
      { method: 'GET', path: '/', headers: {}, body: undefined },
      { ...ignored, end: resolve, failed: reject },
    );
  });
}

function selfSigned(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'cert-'));
  cleanups.push(() => rmSync(folder, { recursive: true }));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', ['req', ...options, ...subject, '-keyout', keyFile, '-out', certFile], {
    stdio: 'ignore',
  });
  return { key: readFileSync(keyFile), cert: readFileSync(certFile) };
}
