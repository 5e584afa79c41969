import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemRandom } from '../../node/platform/random.ts';
import { openStateFolder } from '../../node/store/state-folder.ts';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'state-'));
});
afterEach(() => rm(parent, { recursive: true }));

const open = (path: string) => openStateFolder({ random: systemRandom }, { path });

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

it('belongs to one at a time, by whatever name', async () => {
  const path = join(parent, 'state');
  const first = await open(path);
  await symlink(path, join(parent, 'another-name'));
  for (const name of [path, join(parent, 'another-name')]) {
    await expect(open(name)).rejects.toThrow(
      `state folder ${name} is in use by another debherd (process ${process.pid})`,
    );
  }
  await first.close();
  await (await open(path)).close();
});

it('is free again after kill -9', async () => {
  const path = join(parent, 'state');
  const script = `
    const { openStateFolder } = await import(process.argv[1]);
    const random = { next: () => 0, bytes: (n) => Buffer.alloc(n, 7) };
    await openStateFolder({ random }, { path: process.argv[2] });
    setInterval(() => {}, 1000);
    console.log('open');`;
  const module = join(import.meta.dirname, '../../node/store/state-folder.ts');
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, module, path]);
  await once(child.stdout, 'data');
  await expect(open(path)).rejects.toThrow(`(process ${child.pid})`);
  child.kill('SIGKILL');
  await once(child, 'close');
  const folder = await open(path);
  expect(folder.id).toBe('07'.repeat(20));
  await folder.close();
});

it('names the folder that cannot be made or written', async () => {
  const file = join(parent, 'file');
  await writeFile(file, '');
  await expect(open(join(file, 'state'))).rejects.toThrow(
    /^state folder .*\/file\/state is not writable: ENOTDIR/,
  );
  if (process.getuid?.() === 0) return;
  await mkdir(join(parent, 'closed'));
  await chmod(join(parent, 'closed'), 0o500);
  await expect(open(join(parent, 'closed'))).rejects.toThrow(/closed is not writable: EACCES/);
});
