import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { LevelCatalog } from '../../node/catalog/level-catalog.ts';
import { systemRandom } from '../../node/platform/random.ts';
import { openStateFolder } from '../../node/store/state-folder.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'state-'));
});
afterEach(() => rm(parent, { recursive: true }));

const clock = new ManualClock();
const lock = (path: string) => LevelCatalog.lock(join(path, 'catalog'));
const open = (path: string) => openStateFolder({ clock, random: systemRandom, lock }, { path });

/** Another process that opens the folder, and what it said of that: its id, or why not. */
async function another(path: string, ...wrapper: string[]): Promise<[ChildProcess, string]> {
  const script = join(import.meta.dirname, '../fixtures/held-state.ts');
  const [file, ...args] = [...wrapper, process.execPath, script, path];
  const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(async () => {
    if (child.kill('SIGKILL')) await once(child, 'exit');
  });
  const [said] = await once(child.stdout!, 'data');
  return [child, String(said).trim()];
}

/** Of each file its text and when it was changed; LevelDB's log aside, which nobody reads. */
async function everything(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter(({ name }) => !/^LOG(\.old)?$/.test(name) && name !== 'catalog');
  const told = files.map(async ({ parentPath, name }) => {
    const file = join(parentPath, name);
    const { mtimeMs } = await stat(file);
    return `${file} ${mtimeMs} ${await readFile(file, 'latin1')}`;
  });
  return (await Promise.all(told)).sort();
}

it('makes the folder and keeps its id', async () => {
  const path = join(parent, 'a', 'b');
  const first = await open(path);
  expect(first.path).toBe(path);
  expect(first.id).toMatch(/^[0-9a-f]{40}$/);
  await first.close();
  const second = await open(path);
  expect(second.id).toBe(first.id);
  await second.close();
  await writeFile(join(path, 'id'), 'torn');
  const third = await open(path);
  expect(third.id).toMatch(/^[0-9a-f]{40}$/);
  await third.close();
});

it('gives each start a larger epoch than the one before, however the clock is set', async () => {
  const epoch = async () => {
    const folder = await open(join(parent, 'state'));
    await folder.close();
    return folder.epoch;
  };
  const first = await epoch();
  expect(first).toBe(clock.nowMs());
  clock.setWall(-500_000);
  expect(await epoch()).toBe(first + 1);
  clock.setWall(500_000);
  clock.advance(60_000);
  expect(await epoch()).toBe(clock.nowMs());
  for (const torn of ['', 'torn', `${Number.MAX_SAFE_INTEGER}`, '1e999']) {
    await writeFile(join(parent, 'state', 'epoch'), torn);
    expect(await epoch()).toBe(clock.nowMs());
  }
});

it('belongs to one at a time, by whatever name', async () => {
  const path = join(parent, 'state');
  const first = await open(path);
  await symlink(path, join(parent, 'another-name'));
  for (const name of [path, join(parent, 'another-name')]) {
    expect((await another(name))[1]).toBe(
      `state folder ${name} is in use by another debherd (process ${process.pid}): ` +
        'stop it or choose another --state',
    );
  }
  await first.close();
  await (await open(path)).close();
});

it.runIf(process.getuid?.() === 0)('belongs to one in whatever network namespace', async () => {
  const path = join(parent, 'state');
  const [, id] = await another(path);
  expect(id).toMatch(/^[0-9a-f]{40}$/);
  const before = await everything(path);
  expect(before.length).toBeGreaterThan(5);
  expect((await another(path, 'unshare', '--net'))[1]).toContain('is in use by another debherd');
  expect(await everything(path)).toEqual(before);
});

it('is not locked by what a stranger can have: a name on this machine', async () => {
  const path = join(parent, 'state');
  await mkdir(path);
  const { dev, ino } = await stat(path, { bigint: true });
  const stranger = createServer().listen(`\0debherd-state-${dev}-${ino}`);
  await once(stranger, 'listening');
  onTestFinished(() => void stranger.close());
  await (await open(path)).close();
});

it('is free again after kill -9', async () => {
  const path = join(parent, 'state');
  const [child, id] = await another(path);
  await expect(open(path)).rejects.toThrow(`(process ${child.pid})`);
  child.kill('SIGKILL');
  await once(child, 'close');
  const folder = await open(path);
  expect(folder.id).toBe(id);
  await folder.close();
});

it('names the folder that cannot be made or written', async () => {
  const file = join(parent, 'file');
  await writeFile(file, '');
  for (const path of [file, join(file, 'state')]) {
    await expect(open(path)).rejects.toThrow(`state folder ${path} is not writable: ENOTDIR`);
  }
  const closed = process.getuid?.() === 0 ? '/proc/self' : join(parent, 'closed');
  if (closed !== '/proc/self') await mkdir(closed, { mode: 0o500 });
  await expect(open(closed)).rejects.toThrow(/ is not writable: (EACCES|EPERM): /);
});
