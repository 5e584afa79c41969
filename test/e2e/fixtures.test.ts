// The fixtures themselves: real apt straight at the counting upstream.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type Apt, prepareApt } from '../fixtures/apt.ts';
import { type Archive, buildArchive } from '../fixtures/archive.ts';
import { startUpstream, type Upstream } from '../fixtures/upstream.ts';

let dir: string;
let archive: Archive;
let upstream: Upstream;
let apt: Apt;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'debherd-fixtures-'));
  archive = await buildArchive(join(dir, 'archive'), {
    packages: [
      { name: 'tool', version: '1:2.0~rc1+dfsg-1', size: 5000, depends: 'libtool++' },
      { name: 'libtool++', size: 400_000 },
    ],
  });
  upstream = await startUpstream({ root: archive.dir });
  apt = await prepareApt(join(dir, 'apt'), {
    sources: [archive.sourceLine(upstream.url)],
    config: { 'Acquire::Retries': '0' },
  });
  expect(await apt.update()).toMatchObject({ code: 0 });
  upstream.reset();
}, 30_000);

afterAll(async () => {
  await upstream.close();
  await rm(dir, { recursive: true, force: true });
});

afterEach(async () => {
  upstream.faults.clear();
  upstream.reset();
  await apt.forget();
});

const library = () => archive.packages.find((each) => each.name === 'libtool++')!;

test('apt installs from the archive, and each path is counted once with its bytes', async () => {
  expect(await apt.download(['tool'])).toMatchObject({ code: 0 });
  expect(await apt.verify(archive.packages)).toEqual([]);
  for (const each of archive.packages) {
    expect(upstream.count(`/${each.path}`)).toMatchObject({ requests: 1, bytes: each.size });
  }
  expect(upstream.total().requests).toBe(2);
});

test('a second update is answered with 304', async () => {
  expect(await apt.update()).toMatchObject({ code: 0 });
  expect(upstream.count(archive.distPath('InRelease'))).toMatchObject({
    requests: 1,
    bytes: 0,
    notModified: 1,
  });
});

test('a changed archive is seen by the next update', async () => {
  await archive.addPackages([{ name: 'newcomer' }]);
  await archive.publish();
  expect(await apt.update()).toMatchObject({ code: 0 });
  expect(await apt.download(['newcomer'])).toMatchObject({ code: 0 });
});

test('a flipped byte is a Hash Sum mismatch for apt', async () => {
  upstream.fault(`/${library().path}`, { kind: 'flip', offset: 200_000 });
  const result = await apt.download(['tool']);
  expect(result.code).toBe(100);
  expect(result.stderr).toContain('Hash Sum mismatch');
});

test('a fault with a number of times wears out', async () => {
  upstream.fault(`/${library().path}`, { kind: 'status', status: 503 }, 1);
  expect((await apt.download(['tool'])).code).toBe(100);
  expect((await apt.download(['tool'])).code).toBe(0);
});

test('a truncated answer stops after the ordered bytes, and apt fails', async () => {
  upstream.fault(`/${library().path}`, { kind: 'truncate', after: 1000 });
  expect((await apt.download(['tool'])).code).toBe(100);
  const { requests, bytes } = upstream.count(`/${library().path}`);
  expect(bytes).toBe(1000 * requests);
});

// apt compares Content-Length with its index and hangs up at once, so bytes are left to chance.
test.each([
  ['longer than it says', { kind: 'content-length', delta: -1000 }],
  ['shorter than it says', { kind: 'content-length', delta: 1000 }],
  ['a login page', { kind: 'html' }],
  ['refused', { kind: 'refuse' }],
] as const)('an answer that is %s fails', async (_name, fault) => {
  upstream.fault(`/${library().path}`, fault);
  expect((await apt.download(['tool'])).code).toBe(100);
  expect(upstream.count(`/${library().path}`).requests).toBeGreaterThan(0);
});
