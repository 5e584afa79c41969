import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LevelCatalog } from '../../node/catalog/level-catalog.ts';
import { MemoryCatalog } from '../../node/catalog/memory-catalog.ts';
import { digestOf } from '../../node/content/digest.ts';
import { catalogContract } from '../contract/catalog.contract.ts';

catalogContract('MemoryCatalog', async () => ({
  open: async () => new MemoryCatalog(),
  cleanup: async () => {},
}));

catalogContract('LevelCatalog', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'catalog-'));
  return {
    open: () => LevelCatalog.open(folder),
    reopen: async (catalog) => {
      await catalog.close();
      return LevelCatalog.open(folder);
    },
    cleanup: () => rm(folder, { recursive: true }),
  };
});

const index = { indexUrl: 'i', indexDigest: digestOf('i'), baseUrl: 'http://m.example/' };
const file = { path: 'x.deb', digest: digestOf('x'), size: 1 };

async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'catalog-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

it('LevelCatalog begins anew when its database is damaged', async () => {
  const folder = await tempFolder();
  const first = await LevelCatalog.open(folder);
  await first.learn(index, [file]);
  await first.close();
  const manifest = (await readdir(folder)).find((name) => name.startsWith('MANIFEST'))!;
  await writeFile(join(folder, manifest), 'garbage garbage garbage');
  const second = await LevelCatalog.open(folder);
  expect(await second.lookup('http://m.example/x.deb')).toBeUndefined();
  await second.learn(index, [file]);
  expect(await second.lookup('http://m.example/x.deb')).toMatchObject({ size: 1 });
  await second.close();
});

it('LevelCatalog says which folder is in use', async () => {
  const folder = await tempFolder();
  const first = await LevelCatalog.open(folder);
  await expect(LevelCatalog.open(folder)).rejects.toThrow(folder);
  await first.close();
});
