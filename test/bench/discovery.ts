// `node test/bench/discovery.ts [nodes]`: what a lookup in a fleet costs, all nodes in one process.
import { type Digest, digestOf } from '../../node/content/digest.ts';
import { SEAL_BYTES, Sealer } from '../../node/discovery/sealer.ts';
import { systemRandom } from '../../node/platform/random.ts';
import { type DhtNode, dhtFleet } from '../fixtures/dht.ts';
import { fleetKeyFixture } from '../fixtures/tracker.ts';

const LOOKUPS = 500;

function percentile(values: number[], share: number): string {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(2);
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const datagrams = (nodes: DhtNode[]) =>
  nodes.reduce((sum, { discovery }) => sum + discovery.datagrams.sent, 0);

async function measure(title: string, nodes: DhtNode[], run: (n: number) => Promise<number>) {
  const [cpu, sent] = [cpuMs(), datagrams(nodes)];
  const times: number[] = [];
  for (let n = 0; n < LOOKUPS; n++) times.push(await run(n));
  const each = (total: number) => (total / LOOKUPS).toFixed(2);
  console.log(
    `${title}: p50 ${percentile(times, 0.5)} ms, p99 ${percentile(times, 0.99)} ms, ` +
      `${each(cpuMs() - cpu)} ms CPU over all nodes, ${each(datagrams(nodes) - sent)} datagrams`,
  );
}

async function lookup(node: DhtNode, digest: Digest, all: boolean): Promise<number> {
  const started = performance.now();
  for await (const _ of node.discovery.find(digest, { deadlineMs: 5000 })) if (!all) break;
  return performance.now() - started;
}

async function announceAll(digests: Digest[]): Promise<void> {
  const [cpu, sent] = [cpuMs(), datagrams(nodes)];
  for (const [n, digest] of digests.entries()) nodes[n % nodes.length]!.discovery.announce(digest);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const each = (total: number) => (total / digests.length).toFixed(2);
  console.log(
    `announcement: ${each(cpuMs() - cpu)} ms CPU over all nodes, ` +
      `${each(datagrams(nodes) - sent)} datagrams`,
  );
}

function measureSealing(): void {
  const sealer = new Sealer(fleetKeyFixture.dhtSeal, systemRandom);
  const plain = Buffer.alloc(250, 1);
  const started = performance.now();
  for (let i = 0; i < 50_000; i++) sealer.open(sealer.seal(plain));
  const each = ((performance.now() - started) / 50_000) * 1000;
  console.log(`seal and open 250 bytes (+${SEAL_BYTES}): ${each.toFixed(1)} us`);
}

const { nodes, close } = await dhtFleet(Number(process.argv[2] ?? 60));
const pick = () => nodes[Math.floor(Math.random() * nodes.length)]!;
measureSealing();
const objects = Array.from({ length: 60 }, (_, n) => digestOf(`object ${n}`));
await announceAll(objects);
await measure('first holder', nodes, (n) => lookup(pick(), objects[n % objects.length]!, false));
await measure('full miss', nodes, (n) => lookup(pick(), digestOf(`missing ${n}`), true));
await announceAll(Array.from({ length: 60 }, (_, n) => digestOf(`later ${n}`)));
const [idleCpu, idleSent] = [cpuMs(), datagrams(nodes)];
await new Promise((resolve) => setTimeout(resolve, 10_000));
const share = ((cpuMs() - idleCpu) / 10_000 / nodes.length) * 100;
console.log(
  `idle: ${share.toFixed(4)} % of a core and node, ${datagrams(nodes) - idleSent} datagrams`,
);
await close();
