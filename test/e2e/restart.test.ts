// Daemons that end in the middle of a download, with and without a socket that outlives them, and
// one whose disk is full.
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fetchText } from '../fixtures/daemon.ts';
import { type HeldDaemon, holdDaemon } from '../fixtures/held-daemon.ts';
import { freePort } from '../fixtures/ports.ts';
import { runOrThrow } from '../fixtures/process.ts';
import { type SoloFixture, type SoloOptions, soloFixture } from '../fixtures/solo.ts';

const MB = 1_000_000;
const packages = [{ name: 'bigdata', size: 30 * MB }];

let solo: SoloFixture;
const cleanups: (() => unknown)[] = [];

beforeEach(() => {
  solo = undefined as never;
});

afterEach(async ({ task }) => {
  if (!solo) return;
  if (task.result?.state === 'fail') process.stderr.write(`${solo.daemon.log.slice(-4000)}\n`);
  await solo.daemon.kill('SIGKILL');
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await solo.close();
});

async function open(options: SoloOptions = {}): Promise<void> {
  solo = await soloFixture({ packages, aptConfig: { 'Acquire::Retries': '3' }, ...options });
}

const bigdata = () => solo.archive.packages[0]!;
const slowly = (bytesPerSecond: number) =>
  solo.upstream.fault(`/${bigdata().path}`, { kind: 'slow', bytesPerSecond });
const halfWay = () =>
  solo.daemon.until(({ flights }) => flights.some(({ bytes }) => bytes > 10 * MB), 20_000);

async function held(): Promise<HeldDaemon> {
  const { daemon, dir } = solo;
  const nothing = join(dir, 'nothing');
  const daemonUp = await holdDaemon({ address: daemon.address, port: daemon.aptPort }, [
    ...['--state', join(dir, 'state'), '--apt-sources', join(dir, 'apt/etc')],
    ...['--apt-lists', nothing, '--apt-archives', nothing],
  ]);
  cleanups.push(() => daemonUp.close());
  return daemonUp;
}

test('kill -9 in mid-download behind a held socket: apt notices nothing', async () => {
  await open({ start: false });
  const holder = await held();
  const first = await holder.start();
  expect(await solo.apt.update()).toMatchObject({ code: 0 });
  slowly(10 * MB);
  const download = solo.apt.download(['bigdata']);
  await halfWay();
  process.kill(first, 'SIGKILL');
  await holder.start();
  const result = await download;
  expect(result, result.stderr).toMatchObject({ code: 0 });
  expect(await solo.apt.verify(solo.archive.packages)).toEqual([]);
  // What was on disk came over the WAN once.
  expect(solo.upstream.count(`/${bigdata().path}`).bytes).toBeLessThan(1.1 * bigdata().size);
});

test('a handed-over socket takes a herd: its backlog is not the 511 that Node sets', async () => {
  await open({ start: false });
  const holder = await held();
  await holder.start();
  await solo.daemon.until(() => true);
  const sockets = await runOrThrow('ss', ['-ltnH', `sport = :${solo.daemon.aptPort}`]);
  const backlog = Number(`${sockets}`.trim().split(/\s+/)[2]);
  expect(backlog).toBe(4096);
});

test('a handed-over socket of IPv6', async () => {
  await open({ start: false });
  const port = await freePort('::1');
  const holder = await holdDaemon({ address: '::1', port }, ['--state', join(solo.dir, 'state')]);
  cleanups.push(() => holder.close());
  await holder.start();
  const report = JSON.parse(await fetchText('::1', port, '/status.json')) as { role: string };
  expect(report.role).toBe('solo');
});

test('SIGTERM lets a download end that needs no more than a moment', async () => {
  await open();
  expect(await solo.apt.update()).toMatchObject({ code: 0 });
  slowly(10 * MB);
  const download = solo.apt.download(['bigdata']);
  await halfWay();
  const ended = solo.daemon.kill('SIGTERM');
  const result = await download;
  expect(result, result.stderr).toMatchObject({ code: 0 });
  expect(await ended).toBe(0);
  expect(await solo.apt.verify(solo.archive.packages)).toEqual([]);
});

test('SIGTERM cuts what takes long, and leaves nothing half written', async () => {
  await open({ aptConfig: { 'Acquire::Retries': '0' } });
  expect(await solo.apt.update()).toMatchObject({ code: 0 });
  slowly(3 * MB);
  const download = solo.apt.download(['bigdata']);
  await solo.daemon.until(({ flights }) => flights.some(({ bytes }) => bytes > 3 * MB), 20_000);
  expect(await solo.daemon.kill('SIGTERM')).toBe(0);
  expect((await download).code).toBe(100);
  const left = (await readdir(join(solo.dir, 'state'), { recursive: true })).filter((name) =>
    /\.new$|\.tmp$|pid$/.test(name),
  );
  expect(left).toEqual([]);
  const before = solo.upstream.count(`/${bigdata().path}`).bytes;
  solo.upstream.faults.clear();
  await solo.daemon.start();
  const again = await solo.apt.download(['bigdata']);
  expect(again, again.stderr).toMatchObject({ code: 0 });
  expect(await solo.apt.verify(solo.archive.packages)).toEqual([]);
  const { bytes } = solo.upstream.count(`/${bigdata().path}`);
  expect(before).toBeLessThan(bigdata().size);
  expect(bytes).toBeLessThan(1.1 * bigdata().size);
});

for (const minFree of ['0GiB', '1GiB']) {
  test(`a full disk (min-free ${minFree}): what does not fit streams through`, async () => {
    await open({ start: false, daemon: () => ({ args: ['--min-free', minFree] }) });
    const state = join(solo.dir, 'state');
    await mkdir(state);
    await runOrThrow('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', state]);
    cleanups.push(() => runOrThrow('umount', ['-l', state]));
    await solo.daemon.start();
    for (const _ of [1, 2]) {
      const update = await solo.apt.update();
      expect(update, update.stderr).toMatchObject({ code: 0 });
      const download = await solo.apt.download(['bigdata']);
      expect(download, download.stderr).toMatchObject({ code: 0 });
      expect(await solo.apt.verify(solo.archive.packages)).toEqual([]);
      await solo.apt.forget(true);
    }
  });
}
