// How fast the catalog learns a whole distribution's main Packages, and how fast it answers.
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IndexScanner, scanIndex } from '../../node/apt/packages-file.ts';
import { decompress } from '../../node/catalog/decompress.ts';
import { LevelCatalog } from '../../node/catalog/level-catalog.ts';
import { digestOf } from '../../node/content/digest.ts';
import { privateApt } from '../fixtures/private-apt.ts';

export interface CatalogBench {
  readonly entries: number;
  /** From the compressed file in apt's lists to the last row in the database. */
  readonly entriesPerSecond: number;
  readonly cpuMs: number;
  readonly peakRssMiB: number;
  readonly rssGrowthMiB: number;
  /** Longest time that nothing else got its turn. */
  readonly blockedMs: number;
  readonly lookupP50Us: number;
  readonly lookupP99Us: number;
}

/** Uses the largest Packages file of the machine's own apt sources. */
export async function catalogBench(): Promise<CatalogBench> {
  const apt = await privateApt();
  const folder = await mkdtemp(join(tmpdir(), 'catalog-bench-'));
  try {
    await apt.run('apt-get', 'update');
    const file = await largest(apt.run);
    const catalog = await LevelCatalog.open(join(folder, 'db'));
    const learned = await learn(catalog, file, join(folder, 'scratch'));
    const lookups = await timeLookups(catalog, learned.paths);
    await catalog.close();
    const { paths, ...rest } = learned;
    return { entries: paths.length, ...rest, ...lookups };
  } finally {
    await rm(folder, { recursive: true });
    await apt.remove();
  }
}

async function largest(run: (command: string, ...args: string[]) => Promise<string>) {
  const format = '$(FILENAME)';
  const filter = 'Identifier: Packages';
  const files = await run('apt-get', 'indextargets', '--format', format, filter);
  const sizes = await run('stat', '-c', '%s %n', ...files.trim().split('\n'));
  const [first] = sizes
    .trim()
    .split('\n')
    .sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10));
  return first!.slice(first!.indexOf(' ') + 1);
}

const base = 'http://archive.ubuntu.com/ubuntu/';

async function learn(catalog: LevelCatalog, file: string, scratch: string) {
  const paths: string[] = [];
  const startRss = process.memoryUsage.rss();
  let peakRss = startRss;
  let blockedMs = 0;
  let last = performance.now();
  const watch = setInterval(() => {
    peakRss = Math.max(peakRss, process.memoryUsage.rss());
    blockedMs = Math.max(blockedMs, performance.now() - last - 1);
    last = performance.now();
  }, 1);
  async function* files() {
    const options = { scratch, aptHelper: '/usr/lib/apt/apt-helper' };
    const text = decompress(createReadStream(file, { highWaterMark: 65536 }), options);
    for await (const batch of scanIndex(text, new IndexScanner())) {
      for (const listed of batch) {
        paths.push(listed.path);
        yield listed;
      }
    }
  }
  const cpu = process.cpuUsage();
  const start = performance.now();
  const index = { indexUrl: 'main', indexDigest: digestOf(file), baseUrl: base };
  const entries = await catalog.learn(index, files());
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  clearInterval(watch);
  return {
    paths,
    entriesPerSecond: Math.round(entries / seconds),
    cpuMs: Math.round((user + system) / 1000),
    peakRssMiB: Math.round(peakRss / 2 ** 20),
    rssGrowthMiB: Math.round((peakRss - startRss) / 2 ** 20),
    blockedMs: Math.round(blockedMs),
  };
}

async function timeLookups(catalog: LevelCatalog, paths: readonly string[]) {
  const times: number[] = [];
  const step = Math.max(1, Math.floor(paths.length / 5000));
  for (let at = 0; at < paths.length; at += step) {
    const start = performance.now();
    const entry = await catalog.lookup(base + paths[at]!);
    times.push((performance.now() - start) * 1000);
    if (entry === undefined) throw new Error(`${paths[at]} was not found`);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => Math.round(times[Math.floor(times.length * share)]!);
  return { lookupP50Us: at(0.5), lookupP99Us: at(0.99) };
}

if (import.meta.main) {
  const found = await catalogBench();
  console.log(process.argv.includes('--json') ? JSON.stringify(found) : found);
}
