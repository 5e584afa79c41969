import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';

const MiB = 1024 * 1024;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function doorProcess(): Promise<number> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../support/stub-door.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  cleanups.push(() => child.kill());
  const [port] = await once(child.stdout, 'data');
  return Number(String(port));
}

async function rss(port: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/memory`, {
    headers: { connection: 'close' },
  });
  return ((await response.json()) as { rss: number }).rss;
}

test('ten pipelined 100 MB objects to a client that stops reading cost under 32 MB', async () => {
  const port = await doorProcess();
  for (let i = 0; i < 5; i++) await rss(port);
  const before = await rss(port);
  const client = connect(port, '127.0.0.1').pause();
  cleanups.push(() => client.destroy());
  const url = `http://archive.ubuntu.com/endless/${100 * MiB}`;
  client.write(`GET ${url} HTTP/1.1\r\nHost: archive.ubuntu.com\r\n\r\n`.repeat(10));
  // A door that buffers takes the 1,000 MB at memory speed: half a second shows it.
  let most = 0;
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    most = Math.max(most, await rss(port));
  }
  expect((most - before) / MiB).toBeLessThan(32);
  // It was a stall, not a refusal: the bytes are there for who reads on.
  const [first] = await once(client.resume(), 'data');
  expect(String(first)).toContain('Content-Length: 104857600');
});
