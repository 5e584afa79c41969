import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { deriveFleetKey } from '../../node/fleet/fleet-key.ts';
import { Pool } from '../../node/wire/http-client.ts';
import { createServer } from '../../node/wire/http-server.ts';
import { pskClientOptions, pskServerOptions } from '../../node/wire/tls-psk.ts';

const key = deriveFleetKey('the key of this fleet').tls;
const otherKey = deriveFleetKey('the key of that fleet').tls;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function pskServer(): Promise<{ url: string; requests: string[] }> {
  const requests: string[] = [];
  const server = createServer({ tls: pskServerOptions(key) });
  server.get('/*', (request) => {
    requests.push(request.url);
    return { ok: true };
  });
  cleanups.push(() => server.close());
  return { url: await server.listen({ host: '127.0.0.1', port: 0 }), requests };
}

function get(url: string, psk: Buffer): Promise<number> {
  const pool = new Pool(url, { connect: pskClientOptions(psk) });
  cleanups.push(() => pool.destroy());
  return pool.request({ path: '/x', method: 'GET' }).then(async ({ statusCode, body }) => {
    await body.dump();
    return statusCode;
  });
}

describe('TLS by fleet key', () => {
  it('serves whoever knows the key, on many connections', async () => {
    const { url, requests } = await pskServer();
    expect(await Promise.all([get(url, key), get(url, key), get(url, key)])).toEqual([
      200, 200, 200,
    ]);
    expect(requests).toHaveLength(3);
  });

  it('refuses another key at both ends', async () => {
    const { url, requests } = await pskServer();
    await expect(get(url, otherKey)).rejects.toThrow(/bad record|decrypt|alert|SSL|socket/i);
    expect(requests).toEqual([]);
    expect(await get(url, key)).toBe(200);
  });

  it('refuses a client without a key', async () => {
    const { url, requests } = await pskServer();
    const pool = new Pool(url, { connect: { rejectUnauthorized: false } });
    cleanups.push(() => pool.destroy());
    await expect(pool.request({ path: '/', method: 'GET' })).rejects.toThrow();
    expect(requests).toEqual([]);
  });

  it('sends no request to a server that shows a certificate', async () => {
    const { key: certKey, cert } = selfSigned();
    const requests: string[] = [];
    const server = createHttpsServer({ key: certKey, cert }, (request, response) => {
      requests.push(request.url ?? '');
      response.end();
    }).listen(0, '127.0.0.1');
    cleanups.push(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await expect(get(`https://127.0.0.1:${port}`, key)).rejects.toThrow(/certificate/);
    // Even when the certificate itself would pass, as one of a trusted authority does.
    const trusting = { ...pskClientOptions(key), rejectUnauthorized: true, ca: cert };
    const pool = new Pool(`https://127.0.0.1:${port}`, {
      connect: { ...trusting, secureContext: undefined },
    });
    cleanups.push(() => pool.destroy());
    await expect(pool.request({ path: '/', method: 'GET' })).rejects.toThrow(/not the fleet key/);
    expect(requests).toEqual([]);
  });
});

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
