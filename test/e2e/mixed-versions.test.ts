// A fleet that is upgraded machine by machine: half of it runs the version that landed last.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { createDaemon, type Daemon, writeFleetKey } from '../fixtures/daemon.ts';
import { type OldVersion, oldVersion } from '../fixtures/old-version.ts';
import { freePort, loopbackAddress } from '../fixtures/ports.ts';
import { startUpstream, type Upstream } from '../fixtures/upstream.ts';

/** What landed last. Its packages must be those of the present lock file. */
const LAST_LANDED = 'bf401dbe88dcf62e74d9453c06b28c47041531b9';
const NODES = 6;
/** More than the half second after which the owner of a name streams. */
const SLOWLY = { kind: 'slow', bytesPerSecond: 400_000 } as const;

let old: Promise<OldVersion> | undefined;
const lastLanded = () => (old ??= oldVersion(LAST_LANDED));
afterAll(async () => (await old?.catch(() => undefined))?.close());

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Asked {
  readonly path: string;
  readonly bytes: Buffer;
}

class Herd {
  readonly upstream: Upstream;
  readonly daemons: Daemon[] = [];
  readonly failures: string[] = [];
  readonly #dir: string;
  readonly #all: Asked[] = [];

  constructor(dir: string, upstream: Upstream) {
    this.#dir = dir;
    this.upstream = upstream;
  }

  /** Of the sizes of all that was ever asked for, how much came from upstream. */
  get amplification(): number {
    const bytes = this.#all.reduce((sum, asked) => sum + asked.bytes.length, 0);
    return this.upstream.total().bytes / bytes;
  }

  /** Files that nobody has asked for: small and large ones by digest, one that may change. */
  async fresh(): Promise<Asked[]> {
    const sizes = [0, 20_000, 20_000, 300_000, 3_000_000];
    const fixed = sizes.map((size) => this.#file('/pool/by-hash/SHA256', randomBytes(size)));
    return Promise.all([...fixed, this.#file('/news', randomBytes(50_000))]);
  }

  /** One that may change, and takes a second to come in at the owner of its name. */
  async streaming(): Promise<Asked[]> {
    const asked = await this.#file('/slow', randomBytes(400_000));
    this.upstream.fault(asked.path, SLOWLY);
    return [asked];
  }

  /** Upstream was asked for one of them. */
  begun(files: readonly Asked[]): boolean {
    return files.some(({ path }) => this.upstream.count(path).requests > 0);
  }

  /** All of `daemons` ask for all of `files` at once. */
  async ask(daemons: readonly Daemon[], files: readonly Asked[]): Promise<void> {
    await Promise.all(
      daemons.flatMap((daemon) =>
        files.map(async ({ path, bytes }) => {
          const answer = await through(daemon, this.upstream.url + path);
          if (typeof answer !== 'string' && answer.equals(bytes)) return;
          const what = typeof answer === 'string' ? answer : `${answer.length} wrong bytes`;
          this.failures.push(`${daemon.address} ${path}: ${what}`);
        }),
      ),
    );
  }

  async #file(folder: string, bytes: Buffer): Promise<Asked> {
    const path = `${folder}/${createHash('sha256').update(bytes).digest('hex')}`;
    await mkdir(dirname(join(this.#dir, path)), { recursive: true });
    await writeFile(join(this.#dir, path), bytes);
    const asked = { path, bytes };
    this.#all.push(asked);
    return asked;
  }
}

/** The whole answer of `daemon`, or why there is none. */
async function through({ address, aptPort }: Daemon, url: string): Promise<Buffer | string> {
  try {
    const request = get({ host: address, port: aptPort, path: url, agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    return response.statusCode === 200 ? body : `${response.statusCode} ${body}`;
  } catch (error) {
    return String(error);
  }
}

/** Daemons that are not started; the first one hosts the tracker. */
async function herd(isOld: (index: number) => boolean) {
  const { main } = await lastLanded();
  const dir = await mkdtemp(join(tmpdir(), 'debherd-mixed-'));
  cleanups.push(() => rm(dir, { recursive: true }));
  const root = join(dir, 'archive');
  const upstream = await startUpstream({ root });
  cleanups.push(() => upstream.close());
  const made = new Herd(root, upstream);
  cleanups.push(() => Promise.all(made.daemons.map((daemon) => daemon.kill('SIGKILL'))));
  const fleetKeyFile = await writeFleetKey(dir);
  const empty = join(dir, 'etc');
  await mkdir(empty);
  const trackerPort = await freePort(loopbackAddress(1));
  const tracker = `https://${loopbackAddress(1)}:${trackerPort}`;
  const hidden = ['--apt-sources', empty, '--apt-lists', empty];
  const ports = await Promise.all(
    Array.from({ length: NODES }, async (_, index) => {
      const address = loopbackAddress(index + 1);
      return { address, aptPort: await freePort(address), peerPort: await freePort(address) };
    }),
  );
  const create = (index: number, entry?: string) =>
    createDaemon({
      ...ports[index],
      dir: join(dir, `node-${index}`),
      fleetKeyFile,
      ...(index === 0 ? { trackerPort } : { trackers: [tracker] }),
      ...(entry === undefined ? {} : { main: entry }),
      args: [...hidden, '--allow-host', new URL(upstream.url).host, '--name', `node-${index}`],
    });
  for (let index = 0; index < NODES; index++) {
    made.daemons.push(await create(index, isOld(index) ? main : undefined));
  }
  return { made, upgraded: (index: number) => create(index) };
}

const complete = ({ daemons }: Herd) =>
  Promise.all(
    daemons.map((daemon) => daemon.until(({ members }) => members.length === daemons.length)),
  );

test.each([
  ['last', [1, 3, 5], [2, 4, 0]],
  ['first', [0, 2, 4], [1, 3, 5]],
])(
  'the tracker %s: no request fails, and each file comes over the WAN about once',
  async (_, fresh, turns) => {
    const { made, upgraded } = await herd((index) => !fresh.includes(index));
    await Promise.all(made.daemons.map((daemon) => daemon.start()));
    await complete(made);
    await made.ask(made.daemons, [...(await made.fresh()), ...(await made.streaming())]);
    expect(made.failures).toEqual([]);
    expect(made.amplification).toBeLessThan(1.2);
    for (const index of turns) {
      const files = await made.fresh();
      const others = made.daemons.filter((_daemon, other) => other !== index);
      const asked = made.ask(others, files);
      await expect.poll(() => made.begun(files), { interval: 5 }).toBe(true);
      const [before, after] = [made.daemons[index]!, await upgraded(index)];
      await before.kill();
      made.daemons[index] = after;
      await Promise.all([asked, after.start()]);
      await complete(made);
      await made.ask(made.daemons, [...files, ...(await made.streaming())]);
    }
    expect(made.failures).toEqual([]);
    // Who is ended with a file half fetched leaves it to another, and all ask for theirs just then.
    expect(made.amplification).toBeLessThan(2);
  },
);
