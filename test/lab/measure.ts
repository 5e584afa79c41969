// Figures of one run, and of several runs of one system.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LinkCount } from './netns.ts';
import type { LabNode, LabRun, RunningSystem } from './run.ts';

export interface Result {
  readonly system: string;
  readonly scenario: string;
  /** From 1. */
  readonly round: number;
  readonly nodes: number;
  /** Machines whose apt-get update, or install, failed or did not end in time. */
  readonly failedUpdates: number;
  readonly failedInstalls: number;
  /** Seconds from each machine's start, which is the common one; null when nobody finished. */
  readonly makespan: number | null;
  readonly median: number | null;
  readonly slowest: number | null;
  /** Seconds of each machine that finished, ascending. */
  readonly finished: readonly number[];
  /** What the first failing apts said, one line each. */
  readonly failures: readonly string[];
  /** Whom the system's own daemons named at the end, each fault once: `n1 corrupt`. */
  readonly blames: readonly string[];
  readonly upstreamBytes: number;
  readonly upstreamRequests: number;
  /** On the upstream host's link, headers and repetitions included: a check on upstreamBytes. */
  readonly upstreamWireBytes: number;
  readonly uniqueBytes: number;
  readonly uniqueNames: number;
  /** upstreamBytes over uniqueBytes; null when nothing was asked. */
  readonly wanAmplification: number | null;
  /** Seconds: the larger of unique bytes over the WAN and one machine's bytes over its link. */
  readonly limit: number;
  /** makespan over limit. */
  readonly ratio: number | null;
  /** Bytes on the wire that the machines sent. */
  readonly sentMax: number;
  readonly sentMean: number;
  /** Bytes that the cache server or tracker sent. */
  readonly serverSent: number;
  /** Of the system's own processes, milliseconds per MB (10^6 bytes) that apts received. */
  readonly cpuMsPerMb: number;
  /** Of one process with its children. */
  readonly rssMax: number;
}

export interface Observation {
  readonly run: LabRun;
  readonly system: RunningSystem;
  readonly systemName: string;
  readonly scenario: string;
  readonly round: number;
  readonly work: 'update+install' | 'update' | 'install';
  readonly before: ReadonlyMap<string, LinkCount>;
  readonly after: ReadonlyMap<string, LinkCount>;
  readonly cpuBefore: number;
}

export async function measure(seen: Observation): Promise<Result> {
  const { run } = seen;
  const timed = run.nodes.filter((node) => node.timed && !node.dead);
  const upstream = await run.upstream.count();
  const finished = timed
    .filter((node) => !node.aside && succeeded(node, seen.work))
    .map((node) => (node.finishedMs ?? 0) / 1000)
    .sort((a, b) => a - b);
  const complete = finished.length > 0;
  const makespan = complete ? (finished.at(-1) ?? null) : null;
  // Warm runs ask upstream for nothing, but each machine still needs its bytes.
  const nodeBytes = Math.max(upstream.uniqueBytes, run.archive.packageBytes);
  const limit = limitSeconds(upstream.uniqueBytes, nodeBytes, run.options);
  const sent = run.nodes.map((node) => delta(seen, node.host.name));
  const usages = seen.system.processes.map((each) => each.usage());
  const cpu = usages.reduce((sum, each) => sum + each.cpuSeconds, 0) - seen.cpuBefore;
  return {
    system: seen.systemName,
    scenario: seen.scenario,
    round: seen.round,
    nodes: timed.length,
    failedUpdates: seen.work === 'install' ? 0 : timed.filter((each) => each.update !== 0).length,
    failedInstalls: seen.work === 'update' ? 0 : timed.filter((each) => each.install !== 0).length,
    makespan,
    median: complete ? (finished[Math.floor((finished.length - 1) / 2)] ?? null) : null,
    slowest: makespan,
    finished,
    failures: await complaints(timed, seen.work),
    blames: (await seen.system.fleet?.blames()) ?? [],
    upstreamBytes: upstream.bytes,
    upstreamRequests: upstream.requests,
    upstreamWireBytes: delta(seen, 'upstream'),
    uniqueBytes: upstream.uniqueBytes,
    uniqueNames: upstream.uniqueNames,
    wanAmplification: upstream.uniqueBytes > 0 ? upstream.bytes / upstream.uniqueBytes : null,
    limit,
    ratio: makespan === null ? null : makespan / limit,
    sentMax: Math.max(...sent),
    sentMean: sent.reduce((sum, each) => sum + each, 0) / sent.length,
    serverSent: delta(seen, run.server.name),
    cpuMsPerMb: (cpu * 1000) / ((nodeBytes * timed.length) / 1e6),
    rssMax: Math.max(0, ...usages.map((each) => each.rssMax)),
  };
}

/** The least time that the links allow; bytes of bodies only, so headers make it unreachable. */
export function limitSeconds(
  uniqueBytes: number,
  nodeBytes: number,
  rates: { readonly wan: number; readonly lan: number },
): number {
  return Math.max((uniqueBytes * 8) / rates.wan, (nodeBytes * 8) / rates.lan);
}

export function succeeded(node: LabNode, work: Observation['work']): boolean {
  if (work !== 'install' && node.update !== 0) return false;
  return work === 'update' || node.install === 0;
}

async function complaints(nodes: readonly LabNode[], work: Observation['work']): Promise<string[]> {
  const failed = nodes.filter((node) => !succeeded(node, work)).slice(0, 10);
  return Promise.all(
    failed.map(async (node) => {
      const step = work !== 'install' && node.update !== 0 ? 'update' : 'install';
      const log = join(node.apt.dir, 'log', `${step}.log`);
      const text = await readFile(log, 'utf8').catch(() => '');
      const words = /^(E|W|Err).*(\n {2}.*)?/m.exec(text)?.[0] ?? 'it did not end in time';
      return `${node.host.name} ${step}: ${words.replace(/\s+/g, ' ')}`;
    }),
  );
}

function delta({ before, after }: Observation, name: string): number {
  return (after.get(name)?.sent ?? 0) - (before.get(name)?.sent ?? 0);
}
