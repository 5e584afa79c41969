import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  bucketOf,
  DigestTableBuilder,
  findEntry,
  PathHash,
} from '../../node/catalog/digest-table.ts';
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

it('LevelCatalog drops what was asked for no more, except of a host away', async () => {
  const folder = await tempFolder();
  const dayMs = 24 * 3600_000;
  const names: [string, number][] = [
    ['http://m.example/asked', 100],
    ['http://m.example/asked-last-month', 70],
    ['http://m.example/asked-before', 69],
    ['http://away.example/asked-before', 2],
  ];
  const first = await LevelCatalog.open(folder);
  for (const [url, day] of names) {
    await first.remember(url, { status: 404, checkedAtMs: day * dayMs });
  }
  await first.close();
  const second = await LevelCatalog.open(folder);
  const kept = await Promise.all(names.map(async ([url]) => !!(await second.resolution(url))));
  expect(kept).toEqual([true, true, false, true]);
  await second.close();
});

it('LevelCatalog says which folder is in use', async () => {
  const folder = await tempFolder();
  const first = await LevelCatalog.open(folder);
  await expect(LevelCatalog.open(folder)).rejects.toThrow(folder);
  await first.close();
});

it('a table tells paths apart that share half of their hash', () => {
  const byHigh = new Map<number, string>();
  const pair: string[] = [];
  for (let n = 0; pair.length === 0; n++) {
    const path = `pool/${n}.deb`;
    const { high } = new PathHash().of(path);
    const other = byHigh.get(high);
    if (other !== undefined) pair.push(other, path);
    byHigh.set(high, path);
  }
  const builder = new DigestTableBuilder();
  for (const path of pair) builder.add({ path, digest: digestOf(path), size: 1 });
  const buckets = builder.buckets();
  for (const path of pair) {
    const hash = new PathHash().of(path);
    const entry = findEntry(buckets[bucketOf(hash, buckets.length)]!, hash);
    expect(entry?.digest).toBe(digestOf(path));
  }
});

it('LevelCatalog killed while it learns has all old files or all new ones', async () => {
  const folder = await tempFolder();
  const child = spawn(process.execPath, [
    join(import.meta.dirname, '../fixtures/relearn.ts'),
    folder,
  ]);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  expect(String(line)).toMatch(/^learned/);
  const ended = once(child, 'exit');
  setTimeout(() => child.kill('SIGKILL'), 30);
  await ended;
  const catalog = await LevelCatalog.open(folder);
  const round = (await catalog.lookup('http://m.example/0.deb'))?.size;
  expect(round).toBeGreaterThan(0);
  for (let n = 0; n < 2000; n++) {
    expect((await catalog.lookup(`http://m.example/${n}.deb`))?.size).toBe(round);
  }
  await catalog.close();
});
