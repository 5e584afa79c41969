// Cached hits of the apt door beside nginx's and apt-cacher-ng's, in turns within one run.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildArchive } from '../fixtures/archive.ts';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { startUpstream } from '../fixtures/upstream.ts';
import { type AbResult, ab } from './apache-bench.ts';
import { benchFleet } from './bench-fleet.ts';
import { type Figure, median } from './figures.ts';
import { type CachingProxy, lowPort, startAptCacherNg, startNginxCache } from './proxies.ts';

export interface CachedHitsOptions {
  readonly rounds: number;
  readonly requests: number;
  readonly clients: number;
}

const SIZES = [150_000, 420];

export async function cachedHits(options: CachedHitsOptions): Promise<Figure[]> {
  await ensureDebianPackages(['nginx-light', 'apache2-utils', 'apt-cacher-ng', 'apt-utils', 'gpg']);
  const dir = await mkdtemp(join(tmpdir(), 'debherd-hits-'));
  const archive = await buildArchive(join(dir, 'archive'));
  const paths = await addPool(archive.dir);
  await archive.publishPackages(Buffer.from(paths.map(({ stanza }) => stanza).join('\n')));
  const upstream = await startUpstream({ root: archive.dir, port: await lowPort() });
  const host = upstream.url.slice('http://'.length);
  const fleet = await benchFleet({ nodes: 1, solo: true, allowHost: host });
  const proxies = new Map<string, CachingProxy>();
  try {
    const [daemon] = fleet.daemons;
    proxies.set('nginx', await startNginxCache(join(dir, 'nginx'), host));
    proxies.set('apt-cacher-ng', await startAptCacherNg(join(dir, 'apt-cacher-ng')));
    const own = `${daemon!.address}:${daemon!.aptPort}`;
    proxies.set('debherd', { address: own, stop: async () => {} });
    for (const file of ['InRelease', 'main/binary-amd64/Packages.xz']) {
      await fetchAll(own, `${upstream.url}${archive.distPath(file)}`);
    }
    const figures: Figure[] = [];
    for (const { bytes, path } of paths) {
      const results = await hammer(proxies, `${upstream.url}/${path}`, bytes, options);
      figures.push(...figuresOf(bytes, results, options.requests));
    }
    return figures;
  } finally {
    for (const proxy of proxies.values()) await proxy.stop();
    await fleet.close();
    await upstream.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function addPool(root: string) {
  await mkdir(join(root, 'pool/main/b/bench'), { recursive: true });
  return await Promise.all(
    SIZES.map(async (bytes) => {
      const path = `pool/main/b/bench/bench-${bytes}_1.0_amd64.deb`;
      const content = randomBytes(bytes);
      await writeFile(join(root, path), content);
      const sha256 = createHash('sha256').update(content).digest('hex');
      const stanza =
        `Package: bench-${bytes}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: Bench\n` +
        `Filename: ${path}\nSize: ${bytes}\nSHA256: ${sha256}\nDescription: bytes\n`;
      return { bytes, path, stanza };
    }),
  );
}

async function hammer(
  proxies: ReadonlyMap<string, CachingProxy>,
  url: string,
  bytes: number,
  { rounds, requests, clients }: CachedHitsOptions,
): Promise<Map<string, AbResult[]>> {
  const results = new Map<string, AbResult[]>();
  for (const [name, { address }] of proxies) {
    const received = await fetchAll(address, url);
    if (received !== bytes) throw new Error(`${name} gave ${received} of ${bytes} bytes`);
    await ab(address, url, 2_000, 50);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, { address }] of proxies) {
      const known = results.get(name) ?? [];
      // One that stalled will stall again: its other rounds would only take their time limit.
      if (known.at(-1)?.rate !== 0) known.push(await ab(address, url, requests, clients));
      results.set(name, known);
    }
  }
  return results;
}

function figuresOf(bytes: number, results: Map<string, AbResult[]>, requests: number): Figure[] {
  const bench = 'hits';
  const rateOf = (name: string) => median((results.get(name) ?? []).map(({ rate }) => rate));
  const figures: Figure[] = [];
  for (const [name, runs] of results) {
    const ours = name === 'debherd';
    const what = `${bytes} bytes, ${name}`;
    const failures = runs.reduce((sum, run) => sum + run.failures, 0);
    const reason = runs.find((run) => run.reason !== undefined)?.reason;
    const note = reason === undefined ? {} : { note: reason };
    const p99 = median(runs.map((run) => run.p99Ms));
    const finite = (value: number) => (Number.isFinite(value) ? value : null);
    figures.push({ bench, what: `${what}: rate`, value: rateOf(name), unit: '1/s', ...note });
    figures.push({
      bench,
      what: `${what}: p50`,
      value: finite(median(runs.map((run) => run.p50Ms))),
      unit: 'ms',
    });
    const slow = ours && bytes < 1_000 ? { target: { max: 150 } } : {};
    figures.push({ bench, what: `${what}: p99`, value: finite(p99), unit: 'ms', ...slow });
    figures.push({
      bench,
      what: `${what}: not a whole 200, of ${runs.length * requests}`,
      value: failures,
      unit: '',
      ...(ours ? { target: { max: 0 } } : {}),
    });
  }
  figures.push({
    bench,
    what: `${bytes} bytes: debherd over nginx`,
    value: rateOf('debherd') / rateOf('nginx'),
    unit: '',
    target: { min: 0.5 },
  });
  return figures;
}

/** Bytes of a 200 answer through a proxy. */
function fetchAll(proxy: string, url: string): Promise<number> {
  const [host, port] = proxy.split(':');
  return new Promise((resolve, reject) => {
    const headers = { Host: new URL(url).host };
    get({ host, port, path: url, headers, agent: false }, (response) => {
      let received = 0;
      response.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(received);
        else reject(new Error(`${url} through ${proxy} answered ${response.statusCode}`));
      });
    }).on('error', reject);
  });
}
