// One daemon without configuration and real apt: what works, and what still works without upstream.
import { once } from 'node:events';
import { copyFile, mkdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sha256 } from '../../node/content/digest.ts';
import type { Apt, AptResult } from '../fixtures/apt.ts';
import { runOrThrow } from '../fixtures/process.ts';
import { sharedSigner } from '../fixtures/signer.ts';
import { type SoloFixture, type SoloOptions, soloFixture } from '../fixtures/solo.ts';
import { RawClient } from '../support/raw-client.ts';

const packages = [
  { name: 'tool', version: '1:2.0~rc1+dfsg-1', size: 5_000, depends: 'libtool++, bigdata' },
  { name: 'libtool++', version: '0~2026+really1.0', size: 400_000 },
  { name: 'bigdata', size: 3_000_000 },
];

let solo: SoloFixture;
const cleanups: (() => unknown)[] = [];

beforeEach(() => {
  solo = undefined as never;
});

afterEach(async ({ task }) => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  if (!solo) return;
  if (task.result?.state === 'fail') process.stderr.write(`${solo.daemon.log.slice(-4000)}\n`);
  await solo.close();
});

/** Each answer of upstream holds for a moment only, so that tests need not wait for the next. */
const hasty = () => ({ args: ['--name-freshness', '1ms'] });

async function open(options: SoloOptions = {}): Promise<SoloFixture> {
  solo = await soloFixture({ packages, daemon: hasty, ...options });
  return solo;
}

function expectWell(result: AptResult): void {
  expect(result, result.stderr).toMatchObject({ code: 0 });
  expect(result.stdout + result.stderr).not.toMatch(/Hash Sum mismatch|^[WE]:|Ign:|Err:/m);
}

/** How long apt took, s: what was waited for is seen beside another time on the same machine. */
interface Took {
  readonly update: number;
  readonly download: number;
}

async function install(apt: Apt = solo.apt): Promise<Took> {
  const update = await apt.update();
  expectWell(update);
  const download = await apt.download(['tool']);
  expectWell(download);
  expect(await apt.verify(solo.archive.packages)).toEqual([]);
  return { update: update.seconds, download: download.seconds };
}

/** How long upstream is waited for, if it is silent and an older answer is at hand; s. */
const WAIT = 5;

/** A server that takes connections on the port of one that is gone, and never says a word. */
async function blackHole(port: number): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

test('a second apt is served from the store', async () => {
  await open();
  await install();
  await solo.apt.forget(true);
  await install();
  for (const { path, size } of solo.archive.packages) {
    expect.soft(solo.upstream.count(`/${path}`)).toMatchObject({ requests: 1, bytes: size });
  }
});

/** Nothing waits for an upstream that refuses. */
async function installStale(usual: Took): Promise<void> {
  await solo.apt.forget(true);
  const { update, download } = await install();
  expect.soft(update - usual.update).toBeLessThan(WAIT);
  expect.soft(download - usual.download).toBeLessThan(WAIT);
  const { volatile } = await solo.daemon.status();
  const release = volatile.find(({ url }) => url.endsWith('/InRelease'));
  expect(release).toMatchObject({ stale: true, status: 200 });
}

test('upstream is closed: stale, but served, after a restart too', async () => {
  await open();
  const usual = await install();
  await solo.upstream.close();
  await installStale(usual);
  await solo.daemon.restart();
  await installStale(usual);
});

test('many suites of a silent upstream do not each cost a wait', async () => {
  const suites = ['one', 'two', 'three', 'four'];
  await open({
    archive: { suite: 'one' },
    sources: ({ keyring }, url) =>
      suites.map((suite) => `deb [signed-by=${keyring}] ${url} ${suite} main`),
    start: false,
  });
  for (const suite of suites.slice(1)) {
    await runOrThrow('cp', ['-a', 'one', suite], { cwd: join(solo.archive.dir, 'dists') });
  }
  await solo.daemon.start();
  // apt warns that the Release files name another suite, no more.
  const usual = await solo.apt.update();
  expect(usual, usual.stderr).toMatchObject({ code: 0 });
  expectWell(await solo.apt.download(['tool']));
  const { port } = solo.upstream;
  await solo.upstream.close();
  await blackHole(port);
  await solo.apt.forget(true);
  const update = await solo.apt.update();
  expect(update, update.stderr).toMatchObject({ code: 0 });
  const waited = update.seconds - usual.seconds;
  expect(waited).toBeGreaterThan(WAIT / 2);
  expect(waited).toBeLessThan(2 * WAIT);
  expectWell(await solo.apt.download(['tool']));
});

async function publishSourcesAndTranslation(): Promise<void> {
  const { archive } = solo;
  const main = join(archive.dir, 'dists', archive.suite, 'main');
  const pool = join(archive.dir, 'pool/main/s/src++');
  await mkdir(pool, { recursive: true });
  const files = {
    'src++_1.0~b1.dsc': Buffer.from('Format: 3.0 (native)\nSource: src++\nVersion: 1.0~b1\n'),
    'src++_1.0~b1.tar.gz': gzipSync(Buffer.alloc(50_000, 'source')),
  };
  const lines: string[] = [];
  for (const [name, bytes] of Object.entries(files)) {
    await writeFile(join(pool, name), bytes);
    lines.push(` ${sha256(bytes).toString('hex')} ${bytes.length} ${name}`);
  }
  const stanza =
    'Package: src++\nBinary: src++\nVersion: 1.0~b1\nFormat: 3.0 (native)\n' +
    'Architecture: any\nDirectory: pool/main/s/src++\n' +
    `Checksums-Sha256:\n${lines.join('\n')}\n`;
  for (const folder of ['source', 'i18n']) {
    await mkdir(join(main, folder), { recursive: true });
  }
  await writeFile(join(main, 'source/Sources.gz'), gzipSync(stanza));
  await writeFile(join(main, 'source/Sources'), stanza);
  await writeFile(join(main, 'i18n/Translation-en'), 'Package: tool\nDescription-en: a tool\n');
}

test('sources, translations and other files pass, and again without upstream', async () => {
  await open({
    archive: { byHash: false },
    sources: (archive, url) => {
      const line = archive.sourceLine(url);
      return [line, line.replace(/^deb /, 'deb-src ')];
    },
    aptConfig: { 'Acquire::Languages': 'en' },
  });
  const { archive } = solo;
  const base = solo.upstream.url;
  await publishSourcesAndTranslation();
  // Files that only apt-file and AppStream ask for; the last is in no index at all.
  const texts = {
    'main/Contents-amd64.gz': 'usr/bin/tool misc/tool\n',
    'main/dep11/Components-amd64.yml.gz': '---\nFile: DEP-11\n',
    'main/unlisted/what-is-this.gz': 'nobody knows\n',
  };
  for (const [file, text] of Object.entries(texts)) {
    const path = join(archive.dir, archive.distPath(file));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, gzipSync(text));
  }
  await archive.sign();
  for (const gone of [false, true]) {
    if (gone) await solo.upstream.close();
    await solo.apt.forget(true);
    const update = await solo.apt.update();
    expectWell(update);
    expect(update.stdout).toContain('Sources');
    expect(update.stdout).toContain('Translation-en');
    for (const [file, text] of Object.entries(texts)) {
      const url = `${base}${archive.distPath(file)}`;
      expect.soft(gunzipSync(await bodyOf(url)).toString(), file).toBe(text);
    }
    const source = await solo.apt.aptGet(['source', '--download-only', 'src++']);
    expectWell(source);
    expect(source.stdout).toContain('tar');
  }
  expect(solo.upstream.count('/pool/main/s/src++/src++_1.0~b1.tar.gz').requests).toBe(1);
});

test('package diffs', async () => {
  await open({ packages: packages.slice(2) });
  expectWell(await solo.apt.update());
  const { archive } = solo;
  const folder = join(archive.dir, 'dists', archive.suite, 'main/binary-amd64');
  const old = await readFile(join(folder, 'Packages'));
  await archive.addPackages([{ name: 'newcomer', size: 100 }]);
  await archive.publish();
  await publishDiff(folder, old);
  await archive.sign();
  const update = await solo.apt.update();
  expectWell(update);
  expect(update.stdout).toContain('.pdiff');
  expectWell(await solo.apt.download(['newcomer']));
});

async function publishDiff(folder: string, old: Buffer): Promise<void> {
  const now = await readFile(join(folder, 'Packages'));
  const before = join(solo.dir, 'Packages.old');
  await writeFile(before, old);
  // diff(1) exits with 1 where there is a difference.
  const script = 'diff --ed "$0" "$1" || test $? = 1';
  const patch = await runOrThrow('sh', ['-c', script, before, join(folder, 'Packages')]);
  const packed = gzipSync(patch);
  const line = (bytes: Buffer, name = '') =>
    ` ${sha256(bytes).toString('hex')} ${bytes.length} ${name}`.trimEnd();
  const diffs = join(folder, 'Packages.diff');
  const name = '2026-01-01-0000.00';
  await mkdir(diffs, { recursive: true });
  await writeFile(join(diffs, `${name}.gz`), packed);
  const index = [
    `SHA256-Current:${line(now)}`,
    `SHA256-History:\n${line(old, name)}`,
    `SHA256-Patches:\n${line(patch, name)}`,
    `SHA256-Download:\n${line(packed, `${name}.gz`)}`,
  ];
  await writeFile(join(diffs, 'Index'), `${index.join('\n')}\n`);
}

test('a flat repository', async () => {
  await open({
    sources: ({ keyring }, url) => [`deb [signed-by=${keyring}] ${url}/flat/ ./`],
  });
  const { archive } = solo;
  const flat = join(archive.dir, 'flat');
  await mkdir(flat);
  for (const { path } of archive.packages) {
    await copyFile(join(archive.dir, path), join(flat, path.slice(path.lastIndexOf('/') + 1)));
  }
  const ftp = (...args: string[]) => runOrThrow('apt-ftparchive', args, { cwd: flat });
  await writeFile(join(flat, 'Packages'), await ftp('packages', '.'));
  const release = `${await ftp('release', '.')}`;
  await writeFile(join(flat, 'InRelease'), await (await sharedSigner()).clearsign(release));
  await install();
  await solo.upstream.close();
  await solo.apt.forget(true);
  await install();
});

test('an index replaced between InRelease and Packages, without by-hash', async () => {
  await open({ archive: { byHash: false } });
  const { archive, apt } = solo;
  const inRelease = join(archive.dir, archive.distPath('InRelease'));
  const old = await readFile(inRelease);
  await archive.addPackages([{ name: 'newcomer', size: 100 }]);
  await archive.publish();
  const fresh = await readFile(inRelease);
  const { mtime } = await stat(inRelease);
  // The mirror is half-way: the old InRelease, the new indexes.
  await writeFile(inRelease, old);
  const before = new Date(mtime.getTime() - 60_000);
  await utimes(inRelease, before, before);
  await rm(join(archive.dir, archive.distPath('Release')));
  const during = await apt.update();
  expect(during.code, 'the index cannot be had now').not.toBe(0);
  expect(during.stderr).toMatch(/Hash Sum mismatch|unexpected size|debherd|502|File has/);
  await writeFile(inRelease, fresh);
  await utimes(inRelease, mtime, mtime);
  expectWell(await apt.update());
  expectWell(await apt.download(['newcomer']));
});

test('a .deb replaced under its name, with a new index', async () => {
  await open();
  await install();
  await solo.archive.addPackages([{ name: 'bigdata', size: 2_000_000 }]);
  await solo.archive.publish();
  expectWell(await solo.apt.update());
  await solo.apt.aptGet(['clean']);
  expectWell(await solo.apt.download(['tool']));
  expect(await solo.apt.verify(solo.archive.packages)).toEqual([]);
});

test('a https archive through http://HTTPS///', async () => {
  await open({ start: false });
  const port = await tlsUpstream();
  const line = solo.archive.sourceLine(`http://HTTPS///127.0.0.1:${port}`);
  await solo.apt.setSources([line]);
  await solo.daemon.start();
  const refused = await solo.apt.update();
  expect(refused.code).toBe(100);
  const reason = `127.0.0.1:${port} shows a certificate that is not trusted here`;
  expect(
    await said(`http://HTTPS///127.0.0.1:${port}${solo.archive.distPath('InRelease')}`),
  ).toMatch(new RegExp(`^502 debherd: ${reason} \\(.*DEPTH_ZERO_SELF_SIGNED_CERT\\).*\\n$`));
});

test('a https archive whose authority only this machine trusts', async () => {
  await open({ start: false, daemon: (dir) => ({ env: { SSL_CERT_FILE: join(dir, 'tls.crt') } }) });
  const port = await tlsUpstream();
  await solo.apt.setSources([solo.archive.sourceLine(`http://HTTPS///127.0.0.1:${port}`)]);
  await solo.daemon.start();
  await install();
});

/** The archive over TLS; its port. */
async function tlsUpstream(): Promise<number> {
  const [key, cert] = await certificate();
  const server = createTlsServer({ key, cert }, async (request, response) => {
    const path = join(solo.archive.dir, decodeURIComponent(request.url ?? ''));
    const bytes = await readFile(path).catch(() => undefined);
    response.writeHead(bytes ? 200 : 404).end(bytes);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

async function certificate(): Promise<[key: Buffer, cert: Buffer]> {
  const [key, cert] = [join(solo.dir, 'tls.key'), join(solo.dir, 'tls.crt')];
  await runOrThrow('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', '/CN=mirror.example', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', key, '-out', cert],
  ]);
  return [await readFile(key), await readFile(cert)];
}

async function ask(url: string) {
  const client = await RawClient.to(solo.daemon.aptPort);
  client.send(`GET ${url} HTTP/1.1\r\nHost: mirror.example\r\n\r\n`);
  const answer = await client.answer();
  client.socket.destroy();
  return answer;
}

const bodyOf = async (url: string) => (await ask(url)).body;

async function said(url: string): Promise<string> {
  const { status, body } = await ask(url);
  return `${status} ${body}`;
}

const passwords = {
  'in the sources': (url: string) => ({ url: url.replace('//', '//user:p%40ss@'), auth: '' }),
  'in auth.conf': (url: string) => ({
    url,
    auth: `machine ${url} login user password p@ss\n`,
  }),
};

for (const [where, place] of Object.entries(passwords)) {
  test(`a password ${where}: apt is served, and nothing is kept or shared`, async () => {
    const authorization = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    await open({ upstream: { authorization } });
    const { archive, apt, daemon, upstream } = solo;
    const { url, auth } = place(upstream.url);
    await apt.setSources([archive.sourceLine(url)]);
    await writeFile(join(apt.dir, 'etc/auth.conf'), auth);
    await install();
    for (const { path } of archive.packages) {
      expect(await said(`${upstream.url}/${path}`)).toContain('401');
    }
    const status = await daemon.status();
    expect(status).toMatchObject({ objects: 0, bytes: 0 });
    expect(JSON.stringify(status)).not.toContain('p@ss');
    expect(daemon.log).not.toMatch(/p@ss|p%40ss|Basic/);
    await apt.aptGet(['clean']);
    await install();
    const { path, size } = archive.packages.find(({ name }) => name === 'tool')!;
    expect(upstream.count(`/${path}`).bytes).toBe(2 * size);
  });
}

test('packages that apt keeps are served from there', async () => {
  await open({
    daemon: (dir) => ({ args: ['--apt-archives', join(dir, 'apt/cache/archives')] }),
  });
  await solo.apt.setSources([solo.archive.sourceLine(solo.upstream.url)]);
  // As it was before debherd came: apt went to the archive itself.
  const direct = ['-o', 'Acquire::http::Proxy=DIRECT'];
  expectWell(await solo.apt.update(direct));
  expectWell(await solo.apt.download(['tool'], direct));
  await rm(solo.apt.listsDir, { recursive: true });
  await solo.apt.prepare();
  expectWell(await solo.apt.update());
  const { url: base } = solo.upstream;
  await solo.upstream.close();
  for (const { path, sha256: digest } of solo.archive.packages) {
    const { status, body } = await ask(`${base}/${path}`);
    expect.soft([status, sha256(body).toString('hex')], path).toEqual([200, digest]);
  }
});

test('CONNECT goes to port 443 only', async () => {
  await open();
  const client = await RawClient.to(solo.daemon.aptPort);
  client.send(`CONNECT 127.0.0.1:${solo.upstream.port} HTTP/1.1\r\n\r\n`);
  const { status, body } = await client.answer();
  expect([status, String(body)]).toEqual([
    403,
    `debherd: CONNECT to port ${solo.upstream.port} is refused\n`,
  ]);
});
