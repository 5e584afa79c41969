// The control door: its verbs, and who may reach them.
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { askDaemon, NoAnswer } from '../../node/cli/control-client.ts';
import { ControlDoor } from '../../node/doors/control/control-door.ts';
import { sampleReport } from '../support/sample-report.ts';

let base = '';
let folder = '';
const doors: ControlDoor[] = [];

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'control-'));
  folder = join(base, 'run');
});

afterEach(async () => {
  for (const door of doors.splice(0)) await door.close();
  await rm(base, { recursive: true });
});

async function open(report = () => sampleReport(), at = folder): Promise<ControlDoor> {
  const door = await ControlDoor.open({ report }, { folder: at });
  doors.push(door);
  return door;
}

const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

async function answerTo(socketPath: string, path: string) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ socketPath, path, agent: false }, resolve).once('error', reject);
  });
  const chunks = await response.toArray();
  return { status: response.statusCode, json: JSON.parse(Buffer.concat(chunks).toString()) };
}

it('gives the status', async () => {
  const { path } = await open();
  expect(await askDaemon(path, '/v1/status')).toEqual(sampleReport());
});

it('tells errors as JSON', async () => {
  const { path } = await open(() => {
    throw new Error('broken');
  });
  expect(await answerTo(path, '/v1/status')).toEqual({
    status: 500,
    json: { code: 'INTERNAL', status: 500, message: 'broken' },
  });
  expect(await answerTo(path, '/v1/paint')).toEqual({
    status: 404,
    json: { code: 'NOT_FOUND', status: 404, message: 'no verb GET /v1/paint' },
  });
});

it('is for this user and the group, under any umask, and gone at the end', async () => {
  const before = process.umask(0);
  const door = await open().finally(() => process.umask(before));
  expect([await modeOf(folder), await modeOf(door.path)]).toEqual(['750', '660']);
  await door.close();
  await expect(stat(door.path)).rejects.toThrow('ENOENT');
});

it('replaces the socket of a daemon that was killed', async () => {
  await mkdir(folder);
  await leaveSocket(join(folder, 'control.sock'));
  const { path } = await open();
  expect(await askDaemon(path, '/v1/status')).toMatchObject({ name: sampleReport().name });
});

it('leaves a living daemon its socket', async () => {
  const { path } = await open();
  await expect(open()).rejects.toThrow(/another debherd answers there; stop it or set another/);
  expect(await askDaemon(path, '/v1/status')).toMatchObject({ name: sampleReport().name });
});

it('leaves a file in its place', async () => {
  await mkdir(folder);
  await writeFile(join(folder, 'control.sock'), 'mine');
  await expect(open()).rejects.toThrow(/control\.sock is no socket; set runtime to a folder/);
});

it.each([
  ['whose path is too long', () => join(base, 'x'.repeat(100)), /has 1\d\d bytes of 107; set/],
  ['without a parent', () => join(base, 'no/run'), /no\/run: ENOENT.*; set runtime to a folder/],
  ['that all may write', openFolder, /every user may write in it; set runtime to/],
])('refuses a folder %s in one line', async (_, place, message) => {
  const error = await open(undefined, await place()).catch((thrown: Error) => thrown);
  expect(error).toHaveProperty('message', expect.stringMatching(message));
  expect(error).toHaveProperty('message', expect.not.stringContaining('\n'));
});

it('the client tells what keeps it from asking', async () => {
  const at = join(folder, 'control.sock');
  const ask = () => askDaemon(at, '/v1/status');
  await expect(ask()).rejects.toThrow(/no debherd runs on this machine \(.*control\.sock does/);
  await mkdir(folder);
  await leaveSocket(at);
  await expect(ask()).rejects.toThrow(/no debherd runs on this machine/);
  await open(() => {
    throw new Error('broken');
  });
  const error = await ask().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(NoAnswer);
  expect(error).toHaveProperty('message', `the daemon at ${at} answered 500: broken`);
});

async function openFolder(): Promise<string> {
  await mkdir(folder);
  await chmod(folder, 0o777);
  return folder;
}

/** A socket that nobody listens on any more. */
async function leaveSocket(path: string): Promise<void> {
  const script = "require('net').createServer().listen(process.argv[1], () => process.abort())";
  spawnSync(process.execPath, ['-e', script, path]);
  expect((await stat(path)).isSocket()).toBe(true);
}
