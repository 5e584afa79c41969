// Our reading of indexes and request targets, held against apt's own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonicalUrl } from '../../node/apt/canonical-url.ts';
import { folderOf } from '../../node/apt/classify.ts';
import { urlsOfListName } from '../../node/apt/list-names.ts';
import { type IndexedFile, IndexScanner } from '../../node/apt/packages-file.ts';
import { clearsignedBody, parseRelease } from '../../node/apt/release-file.ts';
import { parseRequestTarget } from '../../node/apt/request-target.ts';
import { decompress } from '../../node/catalog/decompress.ts';
import { IndexLearner } from '../../node/catalog/learner.ts';
import { MemoryCatalog } from '../../node/catalog/memory-catalog.ts';
import { digestOf, Hasher } from '../../node/content/digest.ts';
import { AptLists } from '../../node/local-apt/apt-lists.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { type PrivateApt, printedUris, privateApt } from '../fixtures/private-apt.ts';

const aptHelper = '/usr/lib/apt/apt-helper';

interface Target {
  readonly uri: string;
  readonly file: string;
  readonly archive: string;
}

describe("the machine's own archives", () => {
  let apt: PrivateApt;
  let targets: Target[];
  let options: { scratch: string; aptHelper: string };

  beforeAll(async () => {
    apt = await privateApt();
    options = { scratch: join(apt.lists, '../scratch'), aptHelper };
    await apt.run('apt-get', 'update');
    const format = '$(URI) $(FILENAME) $(REPO_URI)';
    const text = await apt.run(
      'apt-get',
      'indextargets',
      '--format',
      format,
      'Identifier: Packages',
    );
    targets = text
      .trim()
      .split('\n')
      .map((line) => {
        const [uri, file, archive] = line.split(' ') as [string, string, string];
        return { uri, file, archive };
      });
  }, 120_000);
  afterAll(() => apt.remove());

  it('of every package asked for, URL, size and digest are what apt prints', async () => {
    const catalog = new MemoryCatalog();
    const archives = () => targets.map(({ archive }) => archive);
    const lists = new AptLists({ archives }, { folder: apt.lists });
    const deps = { catalog, lists, clock: systemClock, log: silentLog };
    const learner = await IndexLearner.open(
      { ...deps, readObject: async () => undefined },
      { ...options, quietMs: 60_000 },
    );
    const learned = await learner.learnLists();
    await learner.close();
    const names = (await apt.run('apt-cache', 'pkgnames', '-o', 'APT::Cache::AllNames=0'))
      .split('\n')
      .filter(Boolean);
    const stats = await apt.run('apt-cache', 'dumpavail');
    const filenames = stats.match(/^Filename: /gm)!.length;
    expect(learned).toBeGreaterThanOrEqual(filenames);
    const real = new Set(Array.from(stats.matchAll(/^Package: (.*)$/gm), ([, name]) => name!));
    const step = Math.max(1, Math.floor(names.length / 400));
    const sample = names.filter((name, at) => at % step === 0 && real.has(name));
    const odd = [...real].filter((name) => name.includes('++')).slice(0, 50);
    const args = ['download', '--print-uris', ...sample, ...odd];
    const printed = printedUris(await apt.run('apt-get', ...args));
    expect(printed.length).toBeGreaterThan(100);
    for (const { uri, size, sha256 } of printed) {
      const target = parseRequestTarget('GET', uri);
      expect(target.kind).toBe('url');
      const entry = target.kind === 'url' ? await catalog.lookup(target.url) : undefined;
      expect(entry, uri).toEqual({ digest: sha256, size });
    }
  }, 60_000);

  it('each Release names the very bytes that apt took as its indexes', async () => {
    for (const { uri, file } of targets) {
      const folder = uri.slice(0, uri.indexOf('/', uri.indexOf('/dists/') + 7) + 1);
      const inRelease = (await readdir(apt.lists)).find((name) => {
        const [url] = urlsOfListName(`${name.replace(/InRelease$/, '')}Packages`, []);
        return name.endsWith('_InRelease') && url !== undefined && folder === folderOf(url);
      });
      const release = parseRelease(await readFile(join(apt.lists, inRelease!)));
      const entry = release.entries.find(({ path }) => folder + path === uri);
      const hasher = new Hasher();
      let size = 0;
      for await (const chunk of decompress(createReadStream(file), options)) {
        hasher.update(chunk);
        size += chunk.length;
      }
      expect(entry).toMatchObject({ digest: hasher.digest(), size });
      expect(release.skipped).toBe(0);
    }
  }, 60_000);

  it('the signed text of InRelease is what gpgv says was signed', async () => {
    const names = (await readdir(apt.lists)).filter((name) => name.endsWith('_InRelease'));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const file = join(apt.lists, name);
      const signed = await signedText(file);
      const bytes = await readFile(file);
      expect(clearsignedBody(bytes.toString('latin1')).trimEnd()).toBe(signed.trimEnd());
      const listed = signed.slice(signed.indexOf('\nSHA256:')).match(/^ [0-9a-f]{64} /gm) ?? [];
      const { entries } = parseRelease(bytes);
      expect(entries.map(({ digest }) => digest)).toEqual(listed.map((line) => line.trim()));
    }
  });
});

/** gpgv writes the text whether or not it has the key, which is not in question here. */
async function signedText(file: string): Promise<string> {
  const child = spawn('gpgv', ['--keyring', '/dev/null', '--output', '-', file], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  child.stdout.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  await once(child, 'close');
  return text;
}

/** A server that gives one Packages file and 404 for all else, and keeps the request targets. */
class RecordingArchive {
  readonly targets: string[] = [];
  packages = Buffer.alloc(0);
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => {
    this.#sockets.add(socket);
    let text = '';
    socket.setEncoding('latin1').on('error', () => socket.destroy());
    socket.on('data', (part: Buffer | string) => {
      const requests = (text + part).split('\r\n\r\n');
      text = requests.pop()!;
      for (const request of requests) this.#answer(socket, request.split(' ')[1]!);
    });
  });

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #answer(socket: Socket, target: string): void {
    this.targets.push(target);
    if (!/\/Packages$/.test(target)) {
      socket.write('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${this.packages.length}\r\n\r\n`);
    socket.write(this.packages);
  }
}

const letters = [...'abcxyzABC0129+~:%=&@,;_^|<>{}`[]\'"!$()*#. \xe9\xfc'];
const segment = fc
  .string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 12 })
  .filter((text) => text === text.trim() && !/^\.+$/.test(text) && !text.includes('%2'));
const filename = fc
  .tuple(fc.constantFrom('', './', 'pool/./'), fc.array(segment, { minLength: 1, maxLength: 3 }))
  .map(([start, segments]) => `${start}${segments.join('/')}.deb`);
const anyCase = (name: string) => fc.constantFrom(name, name.toLowerCase(), name.toUpperCase());
const field = (name: string, value: string, ...more: string[]) =>
  fc
    .tuple(anyCase(name), fc.constantFrom(' ', '', '\t', '  ', ...more), fc.constantFrom('', ' '))
    .map(([written, before, after]) => `${written}:${before}${value}${after}\n`);
const filler = fc.constantFrom(
  'Depends: a, b (>= 1)\n',
  'Description: text\n Filename: not/this.deb\n .\n SHA256: none\n',
  'Tag: a::b,\n c::d\n',
  'Filenames: nor/this.deb\n',
  'SHA2567: 0\n',
  `MD5sum: ${'0'.repeat(32)}\n`,
);
const package_ = fc.tuple(filename, fc.integer({ min: 1 }), fc.array(filler, { maxLength: 4 }));

const stanza = ([path, size, fillers]: [string, number, string[]], at: number) =>
  fc
    .tuple(
      field('Filename', path, '\n '),
      field('Size', String(size)),
      field('SHA256', digestOf(path), '\n '),
      field('Version', '1'),
    )
    .map((fields) => [...new Set([...fields, ...fillers])])
    .chain((lines) => fc.shuffledSubarray(lines, { minLength: lines.length }))
    .map((lines) => `Package: p${at}\nArchitecture: all\n${lines.join('')}`);

const packagesFile = fc
  .uniqueArray(package_, { minLength: 1, maxLength: 25, selector: ([path]) => path })
  .chain((list) =>
    fc.record({
      stanzas: fc.tuple(...list.map(stanza)),
      crlf: fc.boolean(),
      cut: fc.boolean(),
      chunk: fc.integer({ min: 1, max: 300 }),
    }),
  )
  .map(({ stanzas, crlf, cut, chunk }) => {
    const text = stanzas.join('\n').replaceAll('\n', crlf ? '\r\n' : '\n');
    const end = cut ? text.trimEnd() : text;
    return { names: stanzas.map((_, at) => `p${at}`), bytes: Buffer.from(end, 'latin1'), chunk };
  });

describe('generated indexes', () => {
  const server = new RecordingArchive();
  let apt: PrivateApt;

  beforeAll(async () => {
    const proxy = await server.listen();
    apt = await privateApt({ sources: 'deb [trusted=yes] http://m.example/re~po+x/ ./\n', proxy });
  });
  afterAll(async () => {
    server.close();
    await apt.remove();
  });

  it('are read as apt reads them, and apt asks for what they list', async () => {
    await fc.assert(
      fc.asyncProperty(packagesFile, async ({ names, bytes, chunk }) => {
        server.packages = bytes;
        await apt.run('apt-get', 'update');
        const said = await apt
          .run('apt-get', 'download', '--print-uris', ...names)
          .catch(unlessAptCannotRead);
        fc.pre(said !== undefined);
        const printed = printedUris(said);
        const files = scanned(bytes, chunk);
        expect(files.length).toBe(printed.length);
        const catalog = new MemoryCatalog();
        const baseUrl = 'http://m.example/re~po+x/';
        await catalog.learn({ indexUrl: 'i', indexDigest: digestOf(''), baseUrl }, files);
        for (const { uri, size, sha256 } of printed) {
          const result = canonicalUrl(uri);
          const entry = 'url' in result ? await catalog.lookup(result.url) : undefined;
          expect(entry, uri).toEqual({ digest: sha256, size });
        }
        server.targets.length = 0;
        await apt.run('apt-get', 'download', ...names).catch(() => undefined);
        const asked = new Set<string | undefined>();
        for (const target of server.targets) {
          const result = parseRequestTarget('GET', target);
          if (result.kind === 'url') asked.add((await catalog.lookup(result.url))?.digest);
        }
        expect(asked).toEqual(new Set(files.map(({ digest }) => digest)));
      }),
      { numRuns: 6 },
    );
  }, 60_000);
});

/** Some files are too strange for apt itself (seed -1328153661, path 3): they say nothing of us. */
function unlessAptCannotRead(error: Error): undefined {
  if (!error.message.includes('Internal parsing error')) throw error;
}

function scanned(bytes: Buffer, chunk: number): IndexedFile[] {
  const scanner = new IndexScanner();
  const files: IndexedFile[] = [];
  for (let at = 0; at < bytes.length; at += chunk) {
    files.push(...scanner.push(bytes.subarray(at, at + chunk)));
  }
  return [...files, ...scanner.end()];
}
