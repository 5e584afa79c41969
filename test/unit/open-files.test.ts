import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../node/platform/clock.ts';
import { OpenFiles } from '../../node/store/open-files.ts';

let folder: string;
let files: OpenFiles;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'open-'));
  files = new OpenFiles({ clock: systemClock }, { max: 3 });
});
afterEach(async () => {
  await files.close();
  await rm(folder, { recursive: true });
});

const textOf = (path: string) =>
  files.use(path, 'r', async (handle) => {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(20), 0, 20, 0);
    return buffer.toString('latin1', 0, bytesRead);
  });

it('reads many files with few descriptors', async () => {
  const paths = Array.from({ length: 20 }, (_, index) => join(folder, String(index)));
  for (const path of paths) await writeFile(path, path.slice(-10));
  let open = 0;
  let most = 0;
  const reads = [...paths, ...paths].map((path) =>
    files.use(path, 'r', async (handle) => {
      most = Math.max(most, ++open, files.size);
      const text = await handle.readFile('latin1').finally(() => open--);
      return text === '' || text === path.slice(-10);
    }),
  );
  expect((await Promise.all(reads)).every(Boolean)).toBe(true);
  expect(files.size).toBeLessThanOrEqual(3);
  // Two readers may share one file, so more than three run; never more than three files.
  expect(most).toBeLessThanOrEqual(6);
});

it('follows a file to its new name, and lets go of a forgotten one', async () => {
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  await writeFile(from, 'new');
  await writeFile(to, 'old');
  expect([await textOf(from), await textOf(to)]).toEqual(['new', 'old']);
  await rename(from, to);
  files.rename(from, to);
  expect(await textOf(to)).toBe('new');
  await rm(to);
  files.forget(to);
  await expect(textOf(to)).rejects.toThrow('ENOENT');
  expect(files.size).toBe(0);
});

it('fails for all who wait for a file that does not open, and opens it later', async () => {
  const path = join(folder, 'later');
  const both = await Promise.allSettled([textOf(path), textOf(path)]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  await writeFile(path, 'here');
  expect(await textOf(path)).toBe('here');
});
