// Sockets handed over by a service manager, up to a kill -9 with clients waiting.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it, onTestFinished } from 'vitest';
import { takeInheritedSockets } from '../../node/platform/listen-fds.ts';

it('takes the sockets meant for this process and clears the variables', () => {
  const env: NodeJS.ProcessEnv = {
    LISTEN_FDS: '2',
    LISTEN_PID: '7',
    LISTEN_FDNAMES: 'apt:peer',
    A: '1',
  };
  const sockets = takeInheritedSockets(env, 7);
  expect(sockets).toEqual([
    { fd: 3, name: 'apt' },
    { fd: 4, name: 'peer' },
  ]);
  expect(env).toEqual({ A: '1' });
});

it.each([
  ['another process', { LISTEN_FDS: '1', LISTEN_PID: '8' }],
  ['nobody', { LISTEN_FDS: '1' }],
  ['no sockets', { LISTEN_FDS: '0', LISTEN_PID: '7' }],
  ['nonsense', { LISTEN_FDS: 'x', LISTEN_PID: '7' }],
])('takes nothing that is meant for %s', (_, env: NodeJS.ProcessEnv) => {
  expect(takeInheritedSockets(env, 7)).toEqual([]);
  expect(env).toEqual({});
});

it('needs no names', () => {
  expect(takeInheritedSockets({ LISTEN_FDS: '1', LISTEN_PID: '7' }, 7)).toEqual([
    { fd: 3, name: 'unknown' },
  ]);
});

it('a daemon killed with -9 is replaced on the same socket; who came meanwhile waits', async () => {
  const fixtures = path.join(import.meta.dirname, '../fixtures');
  const holder = spawn('perl', [
    path.join(fixtures, 'hold-socket.pl'),
    ...['asked', '127.0.0.1', '0'],
    ...[process.execPath, path.join(fixtures, 'inherit.ts')],
  ]);
  const lines = createInterface({ input: holder.stdout })[Symbol.asyncIterator]();
  const word = async () => Number((await lines.next()).value?.split(' ')[1]);
  const port = await word();
  const start = async () => {
    holder.stdin.write('\n');
    const pid = await word();
    onTestFinished(() => {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Already gone: it was killed in the test.
      }
    });
    return pid;
  };
  onTestFinished(() => void holder.stdin.end());
  const ask = async () => (await fetch(`http://127.0.0.1:${port}/`)).json();

  const first = await start();
  expect(await ask()).toEqual({ pid: first, left: [] });
  process.kill(first, 'SIGKILL');
  const waiting = Array.from({ length: 20 }, ask);
  const second = await start();
  const answers = await Promise.all(waiting);
  expect(answers).toEqual(answers.map(() => ({ pid: second, left: [] })));
});
