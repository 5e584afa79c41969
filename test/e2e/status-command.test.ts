// `debherd status` and the daemon it asks, as processes of their own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../fixtures/daemon.ts';
import { adopt, run } from '../fixtures/process.ts';

const main = fileURLToPath(new URL('../../node/cli/main.ts', import.meta.url));
/** Of Debian's user nobody. */
const NOBODY = '65534';

let folder = '';
let state = '';
let daemon: Daemon;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'status-'));
  await chmod(folder, 0o755);
  state = join(folder, 'state');
  daemon = await startDaemon({ dir: state, args: ['--name', 'ws-1'] });
});

afterAll(async () => {
  await daemon?.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

const command = (...args: string[]) => [main, 'status', '--state', state, ...args];
const status = (...args: string[]) =>
  run(process.execPath, command(...args), { timeoutMs: 20_000 });

test('tells people and programs', async () => {
  const { code, stdout, stderr } = await status();
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(`${stdout}`).toMatch(/^node +ws-1, debherd \d.*, solo, up \d+ s, /);
  const json = await status('--json');
  expect(JSON.parse(`${json.stdout}`)).toMatchObject({ name: 'ws-1', role: 'solo' });
});

function watching(...args: string[]) {
  const child = spawn(process.execPath, command('--watch', ...args), {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  adopt(child);
  const ended = once(child, 'close');
  return { child, ended, lines: createInterface(child.stdout)[Symbol.asyncIterator]() };
}

test('watches until Ctrl-C', async () => {
  const { child, ended, lines } = watching('--json');
  const time = async () => JSON.parse(String((await lines.next()).value)).nowMs;
  const first = await time();
  expect(await time()).toBeGreaterThan(first);
  child.kill('SIGINT');
  expect(await ended).toEqual([0, null]);
});

test('watches until nobody reads', async () => {
  const { child, ended, lines } = watching();
  expect((await lines.next()).value).toContain('ws-1');
  child.stdout.destroy();
  let complaints = '';
  child.stderr.on('data', (chunk) => {
    complaints += chunk;
  });
  expect(await ended).toEqual([0, null]);
  expect(complaints).toBe('');
});

test('is for root and the group', async () => {
  const asNobody = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', process.execPath];
  const { code, stderr } = await run('setpriv', [...asNobody, ...command()]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^debherd: only root and the group root may ask debherd: .*sudo\n$/);
});

test('says that nothing runs, once the daemon has ended', async () => {
  const socket = join(state, 'run/control.sock');
  expect((await stat(socket)).isSocket()).toBe(true);
  await daemon.kill();
  await expect(stat(socket)).rejects.toThrow('ENOENT');
  const { code, stdout, stderr } = await status('--watch');
  expect({ code, stdout: `${stdout}` }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^debherd: no debherd runs on this machine \([^\n]+\n$/);
  const wrong = await status('--runtime', '');
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('runtime (--runtime)')]);
});
