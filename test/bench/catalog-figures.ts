// The catalog's bench in a process of its own: its memory must not be anybody else's.
import { fileURLToPath } from 'node:url';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { runOrThrow } from '../fixtures/process.ts';
import type { CatalogBench } from './catalog-bench.ts';
import type { Figure } from './figures.ts';

export async function catalogFigures(): Promise<Figure[]> {
  await ensureDebianPackages(['apt-utils']);
  const program = fileURLToPath(new URL('./catalog-bench.ts', import.meta.url));
  const out = await runOrThrow(process.execPath, [program, '--json'], { timeoutMs: 300_000 });
  const found = JSON.parse(out.toString()) as CatalogBench;
  const bench = 'catalog';
  const what = `main Packages, ${found.entries} entries`;
  return [
    { bench, what: `${what}: learned`, value: found.entriesPerSecond, unit: 'entries/s' },
    { bench, what: `${what}: CPU`, value: found.cpuMs, unit: 'ms' },
    { bench, what: `${what}: peak RSS`, value: found.peakRssMiB, unit: 'MiB' },
    { bench, what: `${what}: RSS growth`, value: found.rssGrowthMiB, unit: 'MiB' },
    { bench, what: `${what}: longest block`, value: found.blockedMs, unit: 'ms' },
    { bench, what: 'lookup p50', value: found.lookupP50Us, unit: 'µs' },
    { bench, what: 'lookup p99', value: found.lookupP99Us, unit: 'µs' },
  ];
}
