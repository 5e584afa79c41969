// Real daemons on loopback, as a machine runs them, with nothing of this machine's own apt.
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDaemon, type Daemon, writeFleetKey } from '../fixtures/daemon.ts';
import { freePort, loopbackAddress } from '../fixtures/ports.ts';
import { runOrThrow } from '../fixtures/process.ts';

export interface BenchFleetOptions {
  readonly nodes: number;
  /** host:port of the upstream that they may ask. */
  readonly allowHost: string;
  /** Objects that lie in each store from the start. */
  readonly stored?: number;
  /** Another entry point than the product's. */
  readonly main?: string;
  /** Solo daemons instead of members. */
  readonly solo?: boolean;
}

export interface BenchFleet {
  readonly daemons: readonly Daemon[];
  readonly pids: readonly number[];
  close(): Promise<void>;
}

export async function benchFleet(options: BenchFleetOptions): Promise<BenchFleet> {
  const { nodes, allowHost, main, solo = false } = options;
  const dir = await mkdtemp(join(tmpdir(), 'debherd-bench-'));
  const sweep = () => rmSync(dir, { recursive: true, force: true });
  process.once('exit', sweep);
  const empty = join(dir, 'empty');
  await mkdir(empty);
  const store = await writeStore(join(dir, 'store'), options.stored ?? 0);
  const fleetKeyFile = await writeFleetKey(dir);
  const trackerPort = await freePort(loopbackAddress(1));
  const daemons: Daemon[] = [];
  for (let index = 0; index < nodes; index++) {
    const state = join(dir, `node-${index}`);
    await fillStore(state, store);
    const hidden = ['--apt-sources', '--apt-lists', '--apt-archives'].flatMap((f) => [f, empty]);
    const member =
      index === 0
        ? { fleetKeyFile, trackerPort }
        : { fleetKeyFile, trackers: [`https://${loopbackAddress(1)}:${trackerPort}`] };
    const args = [...hidden, '--allow-host', allowHost, '--name', `node-${index}`];
    const address = loopbackAddress(index + 1);
    const own = { dir: state, address, args, ...(main === undefined ? {} : { main }) };
    daemons.push(await createDaemon({ ...own, ...(solo ? {} : member) }));
  }
  const close = async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill('SIGKILL')));
    await rm(dir, { recursive: true, force: true });
    process.off('exit', sweep);
  };
  try {
    await startAll(daemons);
    // One after the other, as sixty long answers at a time would hold the daemons up.
    if (!solo) for (const daemon of daemons) await sees(daemon, nodes);
  } catch (error) {
    await close();
    throw error;
  }
  return { daemons, pids: daemons.map(({ pid }) => pid), close };
}

// As many at once as there are cores; the first alone, as it hosts the tracker.
async function startAll([first, ...others]: readonly Daemon[]): Promise<void> {
  await first?.start();
  const waiting = [...others];
  const startNext = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) await next.start();
  };
  await Promise.all(Array.from({ length: availableParallelism() }, startNext));
}

function sees(daemon: Daemon, nodes: number): Promise<void> {
  return daemon.until(({ members }) => members.length === nodes, 30_000);
}

const OBJECT_BYTES = 2_000;

interface WrittenStore {
  readonly objects: string;
  readonly index: string;
}

/** A store as an earlier run leaves it (store/object-index.ts, store/object-files.ts). */
async function writeStore(dir: string, count: number): Promise<WrittenStore> {
  const objects = join(dir, 'objects');
  const seconds = Math.floor(Date.now() / 1000);
  const lines: string[] = [];
  await mkdir(objects, { recursive: true });
  for (let index = 0; index < count; index++) {
    const bytes = Buffer.alloc(OBJECT_BYTES, `object ${index} `);
    const digest = createHash('sha256').update(bytes).digest('hex');
    const folder = join(objects, digest.slice(0, 2));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, digest), bytes);
    lines.push(`+ ${digest} ${OBJECT_BYTES} - ${seconds} S\n`);
  }
  return { objects, index: lines.join('') };
}

/** The objects are the same in each store, and take room once. */
async function fillStore(state: string, { objects, index }: WrittenStore): Promise<void> {
  await mkdir(state, { recursive: true });
  await runOrThrow('cp', ['--archive', '--link', objects, state]);
  await writeFile(join(state, 'store.index'), index);
}

export interface Fetched {
  /** From sending the request to the first byte of the body, and to its end, in ms. */
  readonly firstByteMs: number;
  readonly wholeMs: number;
  readonly sentAtMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** One GET through a daemon's apt door; throws unless it is 200 and `bytes` long. */
export function fetchVia(
  { address: host, aptPort: port }: Pick<Daemon, 'address' | 'aptPort'>,
  url: string,
  bytes: number,
): Promise<Fetched> {
  return new Promise((resolve, reject) => {
    const sentAtMs = performance.now();
    const sent = request({ host, port, path: url, agent }, (response) => {
      let received = 0;
      let firstByteMs = Number.NaN;
      response.on('data', (chunk: Buffer) => {
        if (received === 0) firstByteMs = performance.now() - sentAtMs;
        received += chunk.length;
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode } = response;
        const wholeMs = performance.now() - sentAtMs;
        if (statusCode === 200 && received === bytes) resolve({ firstByteMs, wholeMs, sentAtMs });
        else reject(new Error(`${url} answered ${statusCode} with ${received} of ${bytes} bytes`));
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}
