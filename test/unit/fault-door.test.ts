// A daemon that cannot start, behind a socket that a service manager holds: it stays, and tells
// apt why.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { holdDaemon } from '../fixtures/held-daemon.ts';
import { RawClient } from '../support/raw-client.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'fault-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function held(...args: string[]) {
  const holder = await holdDaemon({ address: '127.0.0.1', port: 0 }, args);
  onTestFinished(() => holder.close());
  return { holder, pid: await holder.start() };
}

const GET = 'GET http://archive.ubuntu.com/ubuntu/dists/noble/InRelease HTTP/1.1\r\n\r\n';
const CONNECT = 'CONNECT archive.ubuntu.com:443 HTTP/1.1\r\n\r\n';

const startedBy = '; mend it, then: systemctl restart debherd\n';
const again = '; it is tried again within a minute\n';

it.concurrent.each([
  ['a bad value', ['--cache-max', 'lots'], 'bad value "lots" for cache-max', startedBy],
  ['an unknown flag', ['--cash'], 'unknown flag --cash for run', startedBy],
  ['no state folder', ['--state', '/proc/a/b'], 'state folder /proc/a/b is not wr', again],
  ['no key', ['--state', folder, '--fleet-key-file', '/no/key'], 'fleet key file /no/key', again],
])('%s: every request is told', async (_, args, fault, mend) => {
  const { holder, pid } = await held(...args);
  for (const request of [GET, CONNECT, GET]) {
    const client = await RawClient.to(holder.port);
    const { status, body } = await client.send(request).answer();
    expect(status).toBe(503);
    expect(body.toString()).toMatch(/^debherd cannot start: [^\n]+\n$/);
    expect(body.toString()).toContain(`: ${fault}`);
    expect(body.toString().endsWith(mend)).toBe(true);
  }
  process.kill(pid, 'SIGTERM');
  while (!holder.log.includes('"ended"')) await sleep(5);
  expect(holder.log.split(fault)).toHaveLength(2);
  expect(holder.log).toMatch(/^debherd: [^\n]+\n\{/);
});
