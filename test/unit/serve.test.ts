// Signals, grace, failures at start and bugs: exit codes of a real process.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { expect, it } from 'vitest';

const script = path.join(import.meta.dirname, '../fixtures/serve.ts');

async function run(args: readonly string[], signals: readonly NodeJS.Signals[] = []) {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  // The second signal waits for the first to be seen: the kernel promises no order.
  const cues = ['started', 'ending'];
  const left = [...signals];
  child.stdout.on('data', (chunk) => {
    out += chunk;
    while (left.length > 0 && out.includes(cues[0]!)) {
      cues.shift();
      child.kill(left.shift());
    }
  });
  const [code] = await once(child, 'close');
  return { code, out, err };
}

it.concurrent.each([
  ['a signal closes the service', ['quick'], ['SIGTERM'], 0, 'closed', ''],
  [
    'the echo of a signal changes nothing',
    ['slow', '5000', '5000'],
    ['SIGINT', 'SIGTERM'],
    0,
    '',
    '',
  ],
  ['a second signal ends at once', ['hang'], ['SIGINT', 'SIGTERM'], 143, '', ''],
  ['closing too slowly ends after the grace', ['hang', '50'], ['SIGINT'], 1, '', ''],
  ['failing to close is told', ['fail'], ['SIGTERM'], 1, '', 'could not close\n'],
  ['a known failure at start is one line', ['known'], [], 1, '', 'debherd: a reason\n'],
  [
    'a failure at start is told instead',
    ['instead'],
    ['SIGTERM'],
    0,
    'started instead: a reason\nending\nclosed',
    'debherd: a reason\n',
  ],
  [
    'for a while only',
    ['instead', '5000', '0', '50'],
    [],
    1,
    'started instead: a reason\nclosed',
    'debherd: a reason\n',
  ],
  ['an unknown failure at start is logged', ['unknown'], [], 1, '', 'could not start\n'],
  ['an uncaught exception ends it', ['throw'], [], 1, '', 'uncaught exception, ending\n'],
  ['a forgotten rejection does not', ['reject'], ['SIGTERM'], 0, 'closed', 'unhandled rejection\n'],
] as const)('%s', async (_, args, signals, code, out, err) => {
  const got = await run(args, signals);
  expect({ code: got.code, err: got.err }).toEqual({ code, err });
  expect(got.out).toContain(out);
});
