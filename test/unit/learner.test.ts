import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { compressionOf, decompress } from '../../node/catalog/decompress.ts';
import { IndexLearner } from '../../node/catalog/learner.ts';
import { MemoryCatalog } from '../../node/catalog/memory-catalog.ts';
import { type Digest, digestOf } from '../../node/content/digest.ts';
import { AptLists } from '../../node/local-apt/apt-lists.ts';
import type { Clock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';

const archive = 'http://archive.ubuntu.com/ubuntu/';
const binary = `${archive}dists/noble/main/binary-amd64/`;
const aptHelper = '/usr/lib/apt/apt-helper';

function stanza(filename: string, word = filename): string {
  return `Package: x\nFilename: ${filename}\nSize: 1\nSHA256: ${digestOf(word)}\n\n`;
}

const xz = (input: string) => spawnSync('xz', ['-c'], { input }).stdout;

/** A clock whose timers fire by hand. */
function handClock() {
  const timers = new Set<() => void>();
  const clock: Clock = {
    nowMs: () => 0,
    monotonicMs: () => 0,
    after(_, fn) {
      timers.add(fn);
      return { cancel: () => timers.delete(fn) };
    },
    every: () => ({ cancel() {} }),
  };
  const fire = () => {
    for (const fn of [...timers]) {
      timers.delete(fn);
      fn();
    }
  };
  return { clock, fire, timers };
}

async function learnerFixture(catalog = new MemoryCatalog(), archives: string[] = []) {
  const folder = await mkdtemp(join(tmpdir(), 'learner-'));
  const listsFolder = join(folder, 'lists');
  await mkdir(listsFolder);
  const objects = new Map<Digest, Buffer>();
  const reads: Digest[] = [];
  const unreadable = new Set<Digest>();
  const hand = handClock();
  const readObject = async (digest: Digest) => {
    reads.push(digest);
    if (unreadable.has(digest)) throw new Error('I/O error');
    const bytes = objects.get(digest);
    return bytes && inChunks(bytes);
  };
  const lists = new AptLists({ archives: () => archives }, { folder: listsFolder });
  const learner = await IndexLearner.open(
    { catalog, readObject, lists, clock: hand.clock, log: silentLog },
    { scratch: join(folder, 'scratch'), aptHelper, quietMs: 60_000 },
  );
  onTestFinished(async () => {
    await learner.close();
    await rm(folder, { recursive: true });
  });
  const deliver = async (url: string, content: string | Buffer) => {
    const bytes = Buffer.from(content);
    const digest = digestOf(bytes);
    objects.set(digest, bytes);
    await learner.noteObject(url, digest, bytes.length);
    return digest;
  };
  const word = async (path: string) => (await learner.resolve(archive + path))?.digest;
  const pending = async () => (await catalog.notes('pending!')).size;
  return {
    learner,
    pending,
    catalog,
    objects,
    reads,
    unreadable,
    deliver,
    word,
    listsFolder,
    folder,
    ...hand,
  };
}

async function* inChunks(bytes: Buffer, size = 100): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

type Fixture = Awaited<ReturnType<typeof learnerFixture>>;
let f: Fixture;

describe('IndexLearner', () => {
  beforeEach(async () => {
    f = await learnerFixture();
  });

  it('learns a Release at once, with its by-hash names', async () => {
    const digest = digestOf('packages');
    const md5 = 'd'.repeat(32);
    const list = 'main/binary-amd64/Packages.gz\n';
    const text = `MD5Sum:\n ${md5} 9 ${list}SHA256:\n ${digest} 9 ${list}`;
    const folder = `${archive}dists/noble/`;
    await f.deliver(`${folder}InRelease`, text);
    const { catalog } = f;
    for (const path of ['Packages.gz', `by-hash/SHA256/${digest}`, `by-hash/MD5Sum/${md5}`]) {
      expect(await catalog.lookup(binary + path)).toEqual({ digest, size: 9 });
    }
    await f.deliver(`${folder}Release`, text);
    expect(f.reads).toHaveLength(1);
    await f.deliver(`${folder}InRelease`, text.replaceAll('amd64', 'arm64'));
    expect(await catalog.lookup(`${binary}Packages.gz`)).toBeUndefined();
    await f.deliver(`${folder}InRelease`, '<html>captive</html>');
    expect(await catalog.lookup(`${folder}main/binary-arm64/Packages.gz`)).toBeDefined();
  });

  it('learns an index when a package that it may list is asked for', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    await f.deliver('http://mirror.example/flat/Packages', stanza('./a.deb'));
    expect(f.reads).toHaveLength(0);
    expect(await f.word('dists/noble/main/x')).toBeUndefined();
    expect(f.reads).toHaveLength(0);
    expect(await Promise.all(['pool/a.deb', 'pool/a.deb', 'pool/b.deb'].map(f.word))).toEqual([
      digestOf('pool/a.deb'),
      digestOf('pool/a.deb'),
      undefined,
    ]);
    expect(f.reads).toHaveLength(1);
    expect(await f.pending()).toBe(1);
  });

  it('has nothing at hand of what a pending index may list', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    expect(await f.word('pool/a.deb')).toBe(digestOf('pool/a.deb'));
    await f.deliver('http://mirror.example/flat/Packages', stanza('./b.deb'));
    expect(f.learner.atHand(`${archive}pool/a.deb`)?.digest).toBe(digestOf('pool/a.deb'));
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb', 'other'));
    expect(f.learner.atHand(`${archive}pool/a.deb`)).toBeUndefined();
    expect(await f.word('pool/a.deb')).toBe(digestOf('other'));
    expect(f.learner.atHand(`${archive}pool/a.deb`)?.digest).toBe(digestOf('other'));
  });

  it('learns pending indexes when it has been quiet', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    await f.deliver(`${binary}Packages`, stanza('pool/b.deb'));
    expect(f.timers.size).toBe(1);
    f.fire();
    await vi.waitFor(async () => expect(await f.pending()).toBe(0), { interval: 2 });
    expect(await f.catalog.lookup(`${archive}pool/b.deb`)).toBeDefined();
    expect(await f.catalog.lookup(`${archive}pool/a.deb`)).toBeUndefined();
  });

  it('gives what a replaced index says now, though the old one knows the name', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb', 'old'));
    expect(await f.word('pool/a.deb')).toBe(digestOf('old'));
    await f.deliver(`${binary}by-hash/SHA256/${digestOf('?')}`, stanza('pool/a.deb', 'new'));
    expect(await f.word('pool/a.deb')).toBe(digestOf('new'));
  });

  it('notes an index once, however often it is asked for', async () => {
    const note = vi.spyOn(f.catalog, 'note');
    for (const text of ['one', 'one', 'other']) {
      await f.deliver(`${binary}Packages`, stanza('pool/a.deb', text));
    }
    expect(note).toHaveBeenCalledTimes(2);
    expect(await f.word('pool/a.deb')).toBe(digestOf('other'));
  });

  it('takes up pending indexes after a restart', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    await f.learner.close();
    const again = await learnerFixture(f.catalog);
    for (const [digest, bytes] of f.objects) again.objects.set(digest, bytes);
    expect(await again.pending()).toBe(1);
    expect(await again.word('pool/a.deb')).toBe(digestOf('pool/a.deb'));
    expect(await f.catalog.notes('')).toEqual(new Map());
  });

  it('drops what is gone or broken and keeps what was known', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    expect(await f.word('pool/a.deb')).toBeDefined();
    const packed = xz(stanza('pool/a.deb', 'new').repeat(5000));
    await f.deliver(`${binary}Packages.xz`, packed.subarray(0, packed.length - 10));
    expect(await f.word('pool/a.deb')).toBe(digestOf('pool/a.deb'));
    await f.learner.noteObject(`${binary}Packages`, digestOf('gone'), 1);
    expect(await f.word('pool/a.deb')).toBe(digestOf('pool/a.deb'));
    expect(await f.pending()).toBe(0);
  });

  it('keeps an index pending that cannot be read now', async () => {
    const digest = await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    f.unreadable.add(digest);
    expect(await f.word('pool/a.deb')).toBeUndefined();
    f.unreadable.clear();
    expect(await f.word('pool/a.deb')).toBeDefined();
  });

  it('knows flat repositories, wherever their paths begin', async () => {
    const flat = 'http://mirror.example/debian/binary/';
    const paths = ['./a.deb', 'b.deb', 'binary/c.deb', 'debian/binary/d.deb'];
    await f.deliver(`${flat}Packages`, paths.map((path) => stanza(path)).join(''));
    for (const [at, name] of ['a', 'b', 'c', 'd'].entries()) {
      const entry = await f.learner.resolve(`${flat}${name}.deb`);
      expect(entry?.digest).toBe(digestOf(paths[at]!));
    }
    await f.deliver(`${flat}by-hash/SHA256/${digestOf('?')}`, 'Package: x\nDescription-md5: y\n');
    expect(await f.learner.resolve(`${flat}a.deb`)).toBeDefined();
    expect(await f.pending()).toBe(0);
  });

  it('reads Sources for sources only', async () => {
    await f.deliver(`${binary}Packages`, stanza('pool/a.deb'));
    await f.deliver(
      `${archive}dists/noble/main/source/Sources`,
      `Directory: pool/h\nChecksums-Sha256:\n ${digestOf('dsc')} 4 h.dsc\n`,
    );
    expect(await f.word('pool/h/README')).toBeUndefined();
    expect(f.reads).toHaveLength(0);
    expect(await f.word('pool/h/h.dsc')).toBe(digestOf('dsc'));
    expect(await f.pending()).toBe(1);
  });
});

describe("apt's lists", () => {
  const listed = 'ppa.launchpad.net_%5f%7ex_dists_noble_main_binary-amd64_Packages.gz';
  const https = 'https://ppa.launchpad.net/_~x/';
  beforeEach(async () => {
    f = await learnerFixture(undefined, ['http://other.example/', https]);
  });
  const put = async (name: string, text: string) => {
    await writeFile(join(f.folder, 'new'), name.endsWith('.gz') ? gzipSync(text) : text);
    await rename(join(f.folder, 'new'), join(f.listsFolder, name));
  };

  it('are read for an unknown package, when they changed', async () => {
    await put(listed, stanza('pool/a+1.deb'));
    expect(await f.learner.resolve(`${https}pool/a+1.deb`)).toMatchObject({ size: 1 });
    expect(await f.learner.resolve(`${https}pool/b.deb`)).toBeUndefined();
    await put(listed, stanza('pool/b.deb', 'b'));
    expect(await f.learner.resolve(`${https}pool/b.deb`)).toMatchObject({ digest: digestOf('b') });
  });

  it('do not outweigh an index that went to apt through this node', async () => {
    await f.deliver(`${https}dists/noble/main/binary-amd64/Packages`, stanza('pool/a.deb', 'seen'));
    await f.learner.resolve(`${https}pool/a.deb`);
    await put(listed, stanza('pool/a.deb', 'list'));
    expect(await f.learner.learnLists()).toBe(1);
    expect(await f.learner.learnLists()).toBe(0);
    expect(await f.learner.resolve(`${https}pool/a.deb`)).toMatchObject({
      digest: digestOf('seen'),
    });
  });

  describe('that have the index unpacked', () => {
    const folder = `${https}dists/noble/main/binary-amd64/`;
    const list = listed.replace('.gz', '');
    const text = stanza('pool/a.deb', 'a');
    const packed = gzipSync(text);
    const release = (content: string) =>
      `SHA256:\n ${digestOf(content)} ${content.length} main/binary-amd64/Packages\n`;

    it('save the unpacking, if they say what the Release says', async () => {
      await f.deliver(`${https}dists/noble/Release`, release(text));
      const digest = await f.deliver(`${folder}Packages.gz`, packed);
      await put(list, text);
      expect(await f.learner.resolve(`${https}pool/a.deb`)).toMatchObject({
        digest: digestOf('a'),
      });
      expect(f.reads).not.toContain(digest);
      expect(await f.catalog.learned(`${folder}Packages`)).toBe(digest);
    });

    it.each([
      ['an older list', text.replace(digestOf('a'), digestOf('b'))],
      ['a list cut short', text.slice(0, -1)],
    ])('are not believed: %s', async (_, stale) => {
      await f.deliver(`${https}dists/noble/Release`, release(text));
      const digest = await f.deliver(`${folder}Packages.gz`, packed);
      await put(list, stale);
      expect(await f.learner.resolve(`${https}pool/a.deb`)).toMatchObject({
        digest: digestOf('a'),
      });
      expect(f.reads).toContain(digest);
    });
  });

  it.each([
    ['archive.ubuntu.com_ubuntu_dists_noble_main_source_Sources', `${archive}pool/x.dsc`],
    ['HTTPS___mirror.example_flat_Packages', 'https://mirror.example/flat/pool/x.dsc'],
    ['localhost:3142_mirror.example_flat_Packages', 'http://mirror.example/flat/pool/x.dsc'],
    ['mirror.example:8080_flat_._Packages', 'http://mirror.example:8080/flat/pool/x.dsc'],
  ])('%s tells of %s', async (name, url) => {
    await put('lock', '');
    await put('broken_%_Packages', '');
    await put(name, `Directory: pool\nChecksums-Sha256:\n ${digestOf('x')} 4 x.dsc\n`);
    expect(await f.learner.resolve(url)).toMatchObject({ size: 4 });
  });
});

describe('decompress', () => {
  const text = stanza('pool/a.deb').repeat(3000);
  const cli = (command: string) => spawnSync(command, ['-c'], { input: text }).stdout;
  const unpack = async (bytes: Buffer) => {
    f = await learnerFixture();
    const options = { scratch: join(f.folder, 'scratch'), aptHelper };
    let result = '';
    for await (const chunk of decompress(inChunks(bytes), options)) result += chunk;
    return result;
  };

  it.each([
    ['xz', () => cli('xz')],
    ['bz2', () => cli('bzip2')],
    ['gz', () => gzipSync(text)],
    ['zst', () => zstdCompressSync(text)],
    [undefined, () => Buffer.from(text)],
  ])('unpacks %s by its first bytes', async (ending, pack) => {
    const bytes = pack();
    expect(compressionOf(bytes)).toBe(ending);
    expect(await unpack(bytes)).toBe(text);
  });

  it('gives an empty file as it is, and no broken one as whole', async () => {
    expect(await unpack(Buffer.alloc(0))).toBe('');
    const packed = cli('xz');
    await expect(unpack(packed.subarray(0, packed.length - 20))).rejects.toThrow(/lzma|read/i);
  });

  it.each([0, 7])('has the niceness %i that it is told', async (niceness) => {
    f = await learnerFixture();
    const helper = join(f.folder, 'helper');
    await writeFile(helper, '#!/bin/sh\ncat >/dev/null; sleep 0.2; nice\n', { mode: 0o755 });
    const options = { scratch: join(f.folder, 'scratch'), aptHelper: helper, niceness };
    let said = '';
    for await (const chunk of decompress(inChunks(gzipSync(text)), options)) said += chunk;
    expect(said).toBe(`${getPriority() + niceness}\n`);
  });

  it('can be left early', async () => {
    f = await learnerFixture();
    const options = { scratch: join(f.folder, 'scratch'), aptHelper };
    for await (const _ of decompress(inChunks(gzipSync(text.repeat(50))), options)) break;
  });
});
