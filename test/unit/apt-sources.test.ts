// The archives of this machine, also after somebody added one.
import { mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AptSources } from '../../node/local-apt/apt-sources.ts';
import { silentLog } from '../../node/platform/log.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'debherd-sources-'));
  await mkdir(join(folder, 'sources.list.d'));
  await writeFile(
    join(folder, 'sources.list'),
    'deb http://archive.ubuntu.com/ubuntu noble main\n',
  );
});

afterEach(() => rm(folder, { recursive: true }));

test('reads both formats, and tells of changes once they are looked at', async () => {
  const clock = new ManualClock();
  const sources = await AptSources.open({ clock, log: silentLog }, folder);
  expect([...sources.hosts()]).toEqual(['archive.ubuntu.com']);
  expect([...sources.bases()]).toEqual(['http://archive.ubuntu.com/ubuntu/']);
  const added = join(folder, 'sources.list.d', 'studio.sources');
  await writeFile(added, 'Types: deb\nURIs: http://mirror.example/studio\nSuites: ./\n');
  await utimes(added, 1, 1);
  const changed = new Promise<void>((resolve) => {
    sources.onChange = resolve;
  });
  expect(sources.hosts().size).toBe(1);
  clock.advance(31_000);
  sources.hosts();
  await changed;
  expect([...sources.hosts()].sort()).toEqual(['archive.ubuntu.com', 'mirror.example']);
});

test('a folder that is not there counts as empty', async () => {
  const sources = await AptSources.open(
    { clock: new ManualClock(), log: silentLog },
    join(folder, 'none'),
  );
  expect(sources.hosts().size).toBe(0);
});
