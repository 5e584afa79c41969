// Cached-hit rate of the apt door beside nginx's, by the users' own hammer:
// `ab -n25000 -c550 -X proxy`. Run alone it measures the door over objects in memory.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startNginx } from '../support/nginx.ts';

export interface AbResult {
  /** Requests per second. */
  readonly rate: number;
  /** 99 of 100 answers came within so many milliseconds. */
  readonly p99Ms: number;
}

export interface DoorBenchRow {
  readonly bytes: number;
  readonly door: AbResult;
  readonly nginx: AbResult;
}

export interface DoorBenchOptions {
  /** host:port of an apt door. */
  readonly proxy: string;
  /** Objects that the door has, with their sizes. */
  readonly objects: readonly { readonly url: string; readonly bytes: number }[];
  readonly requests?: number;
  readonly clients?: number;
  /** Both are measured in turn so many times, and the median counts. */
  readonly rounds?: number;
}

/** Throws unless each answer was a 200 of the right length. */
export async function ab(
  proxy: string,
  url: string,
  requests: number,
  clients: number,
): Promise<AbResult> {
  const args = ['-q', '-r', `-n${requests}`, `-c${clients}`, '-X', proxy, url];
  const { stdout } = await promisify(execFile)('ab', args, { maxBuffer: 1 << 20 });
  const number = (pattern: RegExp) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const complete = number(/^Complete requests:\s+(\d+)/m);
  const failed = number(/^Failed requests:\s+(\d+)/m) + number(/^Non-2xx responses:\s+(\d+)/m);
  if (complete !== requests || failed > 0) throw new Error(`not all are 200:\n${stdout}`);
  return {
    rate: number(/^Requests per second:\s+([\d.]+)/m),
    p99Ms: number(/^\s+99%\s+(\d+)/m),
  };
}

export async function doorBench(options: DoorBenchOptions): Promise<DoorBenchRow[]> {
  const { proxy, objects, requests = 25_000, clients = 550, rounds = 3 } = options;
  const folder = await mkdtemp(join(tmpdir(), 'debherd-door-bench-'));
  const root = join(folder, 'root');
  await mkdir(root);
  const nginx = await startNginx(folder, root, 20_000 + (process.pid % 10_000));
  try {
    const rows: DoorBenchRow[] = [];
    for (const { url, bytes } of objects) {
      await writeFile(join(root, String(bytes)), Buffer.alloc(bytes, 'x'));
      // Both warm: what is measured is the steady rate.
      await ab(proxy, url, 2_000, 50);
      const nginxUrl = `http://archive.ubuntu.com/${bytes}`;
      const door: AbResult[] = [];
      const other: AbResult[] = [];
      for (let round = 0; round < rounds; round++) {
        other.push(await ab(nginx.address, nginxUrl, requests, clients));
        door.push(await ab(proxy, url, requests, clients));
      }
      rows.push({ bytes, nginx: median(other), door: median(door) });
    }
    return rows;
  } finally {
    await nginx.stop();
    await rm(folder, { recursive: true });
  }
}

function median(results: AbResult[]): AbResult {
  return results.toSorted((a, b) => a.rate - b.rate)[results.length >> 1]!;
}

export function printDoorBench(rows: readonly DoorBenchRow[]): void {
  for (const { bytes, door, nginx } of rows) {
    const share = ((100 * door.rate) / nginx.rate).toFixed(0);
    process.stdout.write(
      `apt door, cached ${bytes} bytes: ${door.rate.toFixed(0)}/s (p99 ${door.p99Ms} ms), ` +
        `nginx ${nginx.rate.toFixed(0)}/s (p99 ${nginx.p99Ms} ms): ${share} %\n`,
    );
  }
}

if (import.meta.main) {
  const stub = join(import.meta.dirname, '../support/stub-door.ts');
  const child = spawn(process.execPath, [stub], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [port] = await once(child.stdout, 'data');
  const objects = [150_000, 420].map((bytes) => ({
    url: `http://archive.ubuntu.com/${bytes}`,
    bytes,
  }));
  printDoorBench(await doorBench({ proxy: `127.0.0.1:${String(port).trim()}`, objects }));
  child.stdin.end();
}
