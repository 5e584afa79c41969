// /usr/bin/debherd as Puppet writes it, for a tree of debherd with its node_modules.
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { nodeOptions, nodeVariables } from '../fixtures/launcher.ts';

const repo = path.join(import.meta.dirname, '../..');

it("runs the tree's own Node with the launcher's options, and leaves PATH as it is", async () => {
  const source = await mkdtemp(path.join(tmpdir(), 'launcher-'));
  await mkdir(path.join(source, 'node_modules/.bin'), { recursive: true });
  await symlink(process.execPath, path.join(source, 'node_modules/.bin/node'));
  await mkdir(path.join(source, 'node/cli'), { recursive: true });
  const launcher = path.join(source, 'node/debherd.js');
  await copyFile(path.join(repo, 'node/debherd.js'), launcher);
  const tell = `import { writeSync } from 'node:fs';
    const { env, execArgv, argv } = process;
    const { PATH, PWD, ...others } = env;
    const variables = Object.entries(others).map((each) => each.join('='));
    writeSync(1, JSON.stringify([PATH, variables, execArgv, argv.slice(2)]));`;
  await writeFile(path.join(source, 'node/runtime.js'), tell);
  await writeFile(path.join(source, 'node/cli/main.ts'), '');
  await writeFile(path.join(source, 'package.json'), '{ "type": "module" }');
  const template = path.join(repo, 'deploy/puppet/debherd/templates/debherd.sh.epp');
  const [, ...lines] = (await readFile(template, 'utf8')).split('\n');
  const script = lines.join('\n').replaceAll('<%= $source %>', source);
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
  const args = ['-c', script, 'debherd', 'run', '--name', 'a b'];
  const { stdout, stderr } = spawnSync('/bin/sh', args, { env, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(JSON.parse(stdout)).toEqual([
    ...[env.PATH, expect.arrayContaining(nodeVariables)],
    ...[nodeOptions, ['run', '--name', 'a b']],
  ]);
  await rm(source, { recursive: true });
});
