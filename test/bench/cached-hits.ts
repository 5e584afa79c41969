// Cached hits of the apt door beside nginx's and apt-cacher-ng's, in turns within one run.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reasonOf } from '../../node/errors.ts';
import { buildArchive } from '../fixtures/archive.ts';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { startUpstream } from '../fixtures/upstream.ts';
import { type AbResult, ab, noResult } from './apache-bench.ts';
import { benchFleet } from './bench-fleet.ts';
import { type Figure, median } from './figures.ts';
import { type CachingProxy, lowPort, startAptCacherNg, startNginxCache } from './proxies.ts';

export interface CachedHitsOptions {
  readonly rounds: number;
  readonly requests: number;
  readonly clients: number;
}

const SIZES = [150_000, 420];
const FETCH_MS = 20_000;

export async function cachedHits(options: CachedHitsOptions): Promise<Figure[]> {
  await ensureDebianPackages(['nginx-light', 'apache2-utils', 'apt-cacher-ng', 'apt-utils', 'gpg']);
  const dir = await mkdtemp(join(tmpdir(), 'debherd-hits-'));
  const archive = await buildArchive(join(dir, 'archive'));
  const paths = await addPool(archive.dir);
  await archive.publishPackages(Buffer.from(paths.map(({ stanza }) => stanza).join('\n')));
  const upstream = await startUpstream({ root: archive.dir, port: await lowPort() });
  const host = upstream.url.slice('http://'.length);
  const fleet = await benchFleet({ nodes: 1, solo: true, allowHost: host });
  try {
    const [daemon] = fleet.daemons;
    const own = `${daemon!.address}:${daemon!.aptPort}`;
    for (const file of ['InRelease', 'main/binary-amd64/Packages.xz']) {
      await fetchAll(own, `${upstream.url}${archive.distPath(file)}`);
    }
    const figures: Figure[] = [];
    for (const { bytes, path } of paths) {
      const object = { url: `${upstream.url}/${path}`, bytes };
      const debherd = { address: own, stop: async () => {} };
      const results = await besideRivals(join(dir, `${bytes}`), host, debherd, object, options);
      figures.push(...figuresOf(bytes, results, options.requests));
    }
    return figures;
  } finally {
    await fleet.close();
    await upstream.close();
    await rm(dir, { recursive: true, force: true });
  }
}

interface Hit {
  readonly url: string;
  readonly bytes: number;
}

/** The rivals are started anew for each object: one that ended its life shall not miss the next. */
async function besideRivals(
  dir: string,
  upstream: string,
  debherd: CachingProxy,
  hit: Hit,
  options: CachedHitsOptions,
): Promise<Map<string, AbResult[]>> {
  const proxies = new Map<string, CachingProxy>();
  try {
    proxies.set('nginx', await startNginxCache(join(dir, 'nginx'), upstream));
    proxies.set('apt-cacher-ng', await startAptCacherNg(join(dir, 'apt-cacher-ng')));
    proxies.set('debherd', debherd);
    return await hammer(proxies, hit, options);
  } finally {
    for (const proxy of proxies.values()) await proxy.stop();
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
  hit: Hit,
  { rounds, requests, clients }: CachedHitsOptions,
): Promise<Map<string, AbResult[]>> {
  const results = new Map<string, AbResult[]>();
  for (const [name, { address }] of proxies) {
    const trouble = await warm(address, hit);
    results.set(name, trouble === undefined ? [] : [noResult(requests, trouble)]);
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, { address, stop }] of proxies) {
      const known = results.get(name) ?? [];
      // One that stalled will stall again: its other rounds would only take their time limit.
      if (known.at(-1)?.reason !== undefined) continue;
      const result = await ab(address, hit.url, requests, clients);
      known.push(result);
      // Nor shall what it still does with its connections slow the others.
      if (result.reason !== undefined) await stop();
    }
  }
  return results;
}

/** Fills the cache; says what went wrong instead of throwing. */
async function warm(proxy: string, { url, bytes }: Hit): Promise<string | undefined> {
  try {
    const received = await fetchAll(proxy, url);
    if (received !== bytes) return `gave ${received} of ${bytes} bytes`;
    await ab(proxy, url, 2_000, 50);
    return undefined;
  } catch (error) {
    return reasonOf(error).slice(0, 80);
  }
}

/** Exported for tests. */
export function figuresOf(
  bytes: number,
  results: ReadonlyMap<string, readonly AbResult[]>,
  requests: number,
): Figure[] {
  const rateOf = (name: string) => median((results.get(name) ?? []).map(({ rate }) => rate));
  const nginx = rateOf('nginx');
  return [...results].flatMap(([name, runs]) => rowsOf(name, bytes, runs, requests, nginx));
}

function rowsOf(
  name: string,
  bytes: number,
  runs: readonly AbResult[],
  requests: number,
  nginxRate: number,
): Figure[] {
  const ours = name === 'debherd';
  const stuck = runs.find((run) => run.reason !== undefined);
  const finite = (value: number) => (Number.isFinite(value) ? value : null);
  const rate = median(runs.map((run) => run.rate)) || null;
  const row = (what: string, value: number | null, unit: string, more: Partial<Figure> = {}) => ({
    ...{ bench: 'hits', what: `${bytes} bytes, ${name}: ${what}`, value, unit },
    ...more,
  });
  const why = `${stuck?.reason}; ${stuck?.answered} of ${requests} ended`;
  const failures = runs.reduce((sum, run) => sum + run.failures, 0);
  const rows = [
    row('rate', rate, '1/s', stuck === undefined ? {} : { note: why }),
    row('p50', finite(median(runs.map((run) => run.p50Ms))), 'ms'),
    row(
      'p99',
      finite(median(runs.map((run) => run.p99Ms))),
      'ms',
      ours && bytes < 1_000 ? { target: { max: 150 } } : {},
    ),
    row(
      `not a whole 200, of ${runs.length * requests}`,
      failures,
      '',
      ours ? { target: { max: 0 } } : {},
    ),
  ];
  if (name === 'nginx') return rows;
  const ratio = rate === null || nginxRate === 0 ? null : rate / nginxRate;
  return [...rows, row('over nginx', ratio, '', ours ? { target: { min: 0.5 } } : {})];
}

/** Bytes of a 200 answer through a proxy. */
function fetchAll(proxy: string, url: string): Promise<number> {
  const [host, port] = proxy.split(':');
  return new Promise((resolve, reject) => {
    const headers = { Host: new URL(url).host };
    const sent = get({ host, port, path: url, headers, agent: false }, (response) => {
      let received = 0;
      response.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200) resolve(received);
        else reject(new Error(`${url} through ${proxy} answered ${response.statusCode}`));
      });
    });
    sent.setTimeout(FETCH_MS, () => sent.destroy(new Error(`silent for ${FETCH_MS} ms`)));
    sent.on('error', reject);
  });
}
