// A daemon whose output nobody reads any more, as after `npm start | head -1`: it serves on, and
// ends when told to.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fetchText } from '../fixtures/daemon.ts';
import { freePort } from '../fixtures/ports.ts';
import { adopt } from '../fixtures/process.ts';

const launcher = fileURLToPath(new URL('../../node/debherd.js', import.meta.url));

let state = '';
beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'closed-output-'));
});
afterEach(() => rm(state, { recursive: true, force: true }));

async function ready(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await fetchText('127.0.0.1', port, '/status.json').then(Boolean, () => false)) return;
    await sleep(50);
  }
  throw new Error('it does not serve');
}

test.each<[string, (daemon: ChildProcess) => void]>([
  [
    'closed before it said anything',
    ({ stdout, stderr }) => {
      stdout?.destroy();
      stderr?.destroy();
    },
  ],
  [
    'closed after the first line',
    ({ stdout, stderr }) => {
      stderr?.once('data', () => {
        stdout?.destroy();
        stderr.destroy();
      });
    },
  ],
])('serves and ends with its output %s', async (_when, hangUp) => {
  const port = await freePort();
  const args = ['run', '--apt-listen', `127.0.0.1:${port}`, '--state', state];
  const daemon = spawn(launcher, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  adopt(daemon);
  hangUp(daemon);
  try {
    await ready(port);
    daemon.kill('SIGTERM');
    const ended = once(daemon, 'exit');
    expect(await Promise.race([ended, sleep(8000, 'runs on')])).toEqual([0, null]);
  } finally {
    daemon.kill('SIGKILL');
  }
});
