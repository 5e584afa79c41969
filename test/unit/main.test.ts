// The executable itself: exit codes, and which stream a person or a program reads.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { expect, it } from 'vitest';
import about from '../../package.json' with { type: 'json' };

const main = path.join(import.meta.dirname, '../../node/debherd.js');

/** Through its first line, as a link in a bin folder runs it. */
function debherd(...args: string[]) {
  // What hangs is ended.
  const env = { PATH: path.dirname(process.execPath), HOME: '/nowhere' };
  const { status, stdout, stderr } = spawnSync(main, args, {
    env,
    encoding: 'utf8',
    timeout: 5_000,
    killSignal: 'SIGKILL',
  });
  return { status, stdout, stderr };
}

it('answers', () => {
  expect(debherd('version')).toEqual({
    status: 0,
    stdout: `debherd ${about.version}\n`,
    stderr: '',
  });
  const { status, stdout } = debherd('config', '--json', '--name', 'x');
  expect([status, JSON.parse(stdout).values.name.value]).toEqual([0, 'x']);
});

it.each([
  [['run', '--apt-listen', 'x'], /^debherd: bad value "x" for apt-listen \(--apt-listen\): .*\n$/],
  [['rum'], /^debherd: unknown verb "rum"; did you mean "run"\?\n$/],
])('tells %j to mend it in one line and exits with 2', (args, line) => {
  const { status, stdout, stderr } = debherd(...args);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(line);
});

it('refuses a state folder where the kernel lets none be made', () => {
  const { status, stderr } = debherd('run', '--apt-listen', '127.0.0.1:0', '--state', '/proc/a/b');
  expect(stderr).toMatch(/^debherd: state folder \/proc\/a\/b is not writable: ENOENT.*\n$/);
  expect(status).toBe(1);
});

/** Nodes of this machine that are too old, and one that only says it is. */
const olderNodes = [
  ['a faked one', process.execPath, ['--import', `data:text/javascript,${pretend('22.99.0')}`]],
  ...['/usr/bin/node', '/usr/local/bin/node'].filter(isOld).map((node) => [node, node, []]),
] as [string, string, string[]][];

function pretend(version: string): string {
  return `Object.defineProperty(process, 'versions', { value: { node: '${version}' } })`;
}

function isOld(node: string): boolean {
  const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' });
  return /^v(1[89]|2[0-3])\./.test(stdout ?? '');
}

it.each(olderNodes)('tells an older Node which one is needed: %s', (_, node, options) => {
  const got = spawnSync(node, [...options, main, 'version'], { encoding: 'utf8' });
  expect(got).toMatchObject({ status: 1, stdout: '' });
  expect(got.stderr).toMatch(
    /^debherd: this is Node \d+\.\d+\.\d+, but Node 24 is needed: run it with npm start, or .*\n$/,
  );
});
