// The archives behind the WAN link, one kind per group of scenarios.
import { join } from 'node:path';
import { type Archive, buildArchive } from '../fixtures/archive.ts';
import { buildIndexArchive, buildPpas } from '../fixtures/index-archive.ts';
import { archiveFromMachine } from '../fixtures/machine-archive.ts';
import type { HerdOptions } from './options.ts';
import type { LabArchive, Scenario } from './run.ts';

export async function buildLabArchive(
  root: string,
  kind: Scenario['archive'],
  options: HerdOptions,
): Promise<LabArchive> {
  const main = join(root, 'main');
  if (kind === 'package') {
    const archive = await archiveFromMachine(main, options.package);
    return single(root, archive, options.package);
  }
  if (kind === 'object') {
    const packages = [{ name: 'large-object', size: options.objectSize }];
    return single(root, await buildArchive(main, { packages }), 'large-object');
  }
  const parts = [{ archive: await buildIndexArchive(main), path: '/main' }];
  for (const [i, archive] of (await buildPpas(root, 20)).entries()) {
    parts.push({ archive, path: `/ppa-${String(i + 1).padStart(2, '0')}` });
  }
  return { root, parts, install: [], packageBytes: 0 };
}

function single(root: string, archive: Archive, name: string): LabArchive {
  const packageBytes = archive.packages.reduce((sum, each) => sum + each.size, 0);
  return { root, parts: [{ archive, path: '/main' }], install: [name], packageBytes };
}
