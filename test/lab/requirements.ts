// What the lab needs from the machine: root, and a few Debian packages.
import { access } from 'node:fs/promises';
import { run, runOrThrow } from '../fixtures/process.ts';
import type { System } from './run.ts';

/** Program → the package that has it. */
const tools: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  ss: 'iproute2',
  tc: 'iproute2',
  nsenter: 'util-linux',
  curl: 'curl',
  gpg: 'gpg',
  'apt-ftparchive': 'apt-utils',
  xz: 'xz-utils',
  nginx: 'nginx-light',
  'apt-cacher-ng': 'apt-cacher-ng',
  squid: 'squid',
};

/** Throws, with one line that says how to mend it, when something cannot be had. */
export async function meetRequirements(
  systems: readonly System[],
  say: (line: string) => void,
): Promise<void> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    throw new Error('the lab builds network namespaces and needs root: sudo npm run herd -- …');
  }
  const optional = new Set(['apt-cacher-ng', 'squid']);
  const wanted = new Set(systems.flatMap((system) => system.packages));
  const missing = new Set<string>();
  for (const [tool, name] of Object.entries(tools)) {
    if (optional.has(name) && !wanted.has(name)) continue;
    if (!(await isInstalled(tool))) missing.add(name);
  }
  if (missing.size === 0) return;
  say(`installing ${[...missing].join(' ')}`);
  await install([...missing]);
}

async function install(packages: readonly string[]): Promise<void> {
  // Not to be started by its package: the lab runs each where it wants it.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  const args = ['install', '-y', '-q', '--no-install-recommends', ...packages];
  const options = { env, timeoutMs: 600_000 };
  if ((await run('apt-get', args, options)).code === 0) return;
  await runOrThrow('apt-get', ['update', '-q'], options);
  await runOrThrow('apt-get', args, options);
}

async function isInstalled(tool: string): Promise<boolean> {
  const folders = (process.env.PATH ?? '').split(':').concat('/usr/sbin', '/sbin');
  const found = await Promise.all(
    folders.map((folder) =>
      access(`${folder}/${tool}`).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}
