// Real daemons on loopback, as a machine runs them, with nothing of this machine's own apt.
import { createHash } from 'node:crypto';
import { link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDaemon, type Daemon, writeFleetKey } from '../fixtures/daemon.ts';
import { freePort, loopbackAddress } from '../fixtures/ports.ts';

export interface BenchFleetOptions {
  readonly nodes: number;
  /** host:port of the upstream that they may ask. */
  readonly allowHost: string;
  /** Objects that lie in each store from the start. */
  readonly stored?: number;
  /** Solo daemons instead of members. */
  readonly solo?: boolean;
}

export interface BenchFleet {
  readonly daemons: readonly Daemon[];
  readonly pids: readonly number[];
  close(): Promise<void>;
}

export async function benchFleet(options: BenchFleetOptions): Promise<BenchFleet> {
  const { nodes, allowHost, solo = false } = options;
  const dir = await mkdtemp(join(tmpdir(), 'debherd-bench-'));
  const empty = join(dir, 'empty');
  await mkdir(empty);
  const objects = await writeObjects(join(dir, 'objects'), options.stored ?? 0);
  const fleetKeyFile = await writeFleetKey(dir);
  const trackerPort = await freePort(loopbackAddress(1));
  const daemons: Daemon[] = [];
  for (let index = 0; index < nodes; index++) {
    const state = join(dir, `node-${index}`);
    await fillStore(state, join(dir, 'objects'), objects);
    const hidden = ['--apt-sources', '--apt-lists', '--apt-archives'].flatMap((f) => [f, empty]);
    const member =
      index === 0
        ? { fleetKeyFile, trackerPort }
        : { fleetKeyFile, trackers: [`https://${loopbackAddress(1)}:${trackerPort}`] };
    const args = [...hidden, '--allow-host', allowHost, '--name', `node-${index}`];
    const address = loopbackAddress(index + 1);
    daemons.push(await createDaemon({ dir: state, address, args, ...(solo ? {} : member) }));
  }
  const close = async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill('SIGKILL')));
    await rm(dir, { recursive: true, force: true });
  };
  try {
    // One after the other: starting ten at once on two cores would measure the crowd.
    for (const daemon of daemons) await daemon.start();
    if (!solo) await Promise.all(daemons.map((daemon) => sees(daemon, nodes)));
  } catch (error) {
    await close();
    throw error;
  }
  return { daemons, pids: daemons.map(({ pid }) => pid), close };
}

function sees(daemon: Daemon, nodes: number): Promise<void> {
  return daemon.until(({ members }) => members.length === nodes, 30_000);
}

const OBJECT_BYTES = 2_000;

async function writeObjects(folder: string, count: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const digests: string[] = [];
  for (let index = 0; index < count; index++) {
    const bytes = Buffer.alloc(OBJECT_BYTES, `object ${index} `);
    const digest = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(folder, digest), bytes);
    digests.push(digest);
  }
  return digests;
}

/** A state folder as an earlier run leaves it (store/object-index.ts, store/object-files.ts). */
async function fillStore(state: string, from: string, digests: readonly string[]): Promise<void> {
  await mkdir(state, { recursive: true });
  const folders = new Set(digests.map((digest) => digest.slice(0, 2)));
  for (const name of folders) await mkdir(join(state, 'objects', name), { recursive: true });
  const seconds = Math.floor(Date.now() / 1000);
  const lines = digests.map((digest) => `+ ${digest} ${OBJECT_BYTES} - ${seconds} S\n`);
  for (const digest of digests) {
    await link(join(from, digest), join(state, 'objects', digest.slice(0, 2), digest));
  }
  await writeFile(join(state, 'store.index'), lines.join(''));
}

export interface Fetched {
  /** From sending the request to the first byte of the body, and to its end, in ms. */
  readonly firstByteMs: number;
  readonly wholeMs: number;
  readonly sentAtMs: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/** One GET through a daemon's apt door; throws unless it is 200 and `bytes` long. */
export function fetchVia(daemon: Daemon, url: string, bytes: number): Promise<Fetched> {
  const { address: host, aptPort: port } = daemon;
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
