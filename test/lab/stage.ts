// One run: sets the stage, lets the herd go, measures, and clears everything away.
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { prepareApt } from '../fixtures/apt.ts';
import { gatherHerd } from './clients.ts';
import { Host } from './host.ts';
import { limitSeconds, measure, type Result, succeeded } from './measure.ts';
import { Net } from './netns.ts';
import type { HerdOptions } from './options.ts';
import type { LabArchive, LabNode, LabRun, RunningSystem, Scenario, System } from './run.ts';
import { UpstreamHost } from './upstream-host.ts';
import { inBatches } from './wait.ts';

export interface Plan {
  readonly options: HerdOptions;
  readonly system: System;
  readonly scenario: Scenario;
  readonly archive: LabArchive;
  /** From 1. */
  readonly round: number;
  /** Fresh folder for the run's state. */
  readonly dir: string;
  say(line: string): void;
}

const upstreamAddress = '10.77.0.2';
const serverAddress = '10.77.0.3';

/** Runs to the end whatever happens inside; the network is gone afterwards. */
export async function perform(plan: Plan, openNets: Set<Net>): Promise<Result> {
  const net = new Net(`${plan.system.name}-${plan.round}`.replace(/[^a-z0-9]/g, ''));
  openNets.add(net);
  let system: RunningSystem | undefined;
  let run: LabRun | undefined;
  try {
    run = await setStage(plan, net);
    await run.upstream.start();
    system = await startSystem(plan, run);
    return await play(plan, run, system);
  } finally {
    await system?.stop();
    await run?.upstream.stop();
    net.remove();
    openNets.delete(net);
    if (!plan.options.keep) await rm(plan.dir, { recursive: true, force: true });
  }
}

async function startSystem(plan: Plan, run: LabRun): Promise<RunningSystem> {
  let seeded: Promise<void> | undefined;
  const seed = () => {
    seeded ??= plan.scenario.seed?.(run) ?? Promise.resolve();
    return seeded;
  };
  const system = await plan.system.start(run, { ...plan.scenario.wishes, seed });
  await seed();
  return system;
}

async function setStage(plan: Plan, net: Net): Promise<LabRun> {
  const { options, archive, dir, system, say } = plan;
  const { lan, wan } = options;
  const names = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`);
  const addressOf = (i: number) => `10.77.${1 + Math.floor(i / 250)}.${1 + (i % 250)}`;
  await net.build([
    { name: 'upstream', address: upstreamAddress, rate: wan },
    { name: 'server', address: serverAddress, rate: lan },
    ...names.map((name, i) => ({ name, address: addressOf(i), rate: lan })),
  ]);
  const hostOf = (name: string, address: string) => new Host(name, address, net.namespaceOf(name));
  const upstream = new UpstreamHost(hostOf('upstream', upstreamAddress), archive.root, dir);
  const proxy = system.proxy(serverAddress);
  const sources = archive.parts.map((part) => part.archive.sourceLine(upstream.url + part.path));
  const nodes: LabNode[] = [];
  for (const [i, name] of names.entries()) {
    const folder = join(dir, 'apt', name);
    await mkdir(folder, { recursive: true });
    const apt = await prepareApt(folder, {
      sources,
      config: { ...system.aptConfig, ...aptConfig(plan.scenario) },
      ...(proxy === undefined ? {} : { proxy }),
    });
    const host = hostOf(name, addressOf(i));
    nodes.push({ index: i + 1, host, apt, ...untouched });
  }
  const limitMs = limitSeconds(archive.packageBytes, archive.packageBytes, options) * 1000;
  const server = hostOf('server', serverAddress);
  return { options, dir, net, upstream, server, nodes, archive, limitMs, say };
}

const untouched = {
  timed: true,
  dead: false,
  aside: false,
  client: undefined,
  update: undefined,
  install: undefined,
  finishedMs: undefined,
};

/** Sixty apts that each decompress and parse a main index would measure the processor only. */
function aptConfig(scenario: Scenario): Record<string, string> {
  if (scenario.work !== 'update') return {};
  return { 'Acquire::GzipIndexes': 'true', 'pkgCacheFile::Generate': 'false' };
}

async function play(plan: Plan, run: LabRun, system: RunningSystem): Promise<Result> {
  const { scenario, options } = plan;
  await scenario.prepare?.(run, system);
  await run.upstream.resetCount();
  const before = await run.net.counts();
  const cpuBefore = system.processes.reduce((sum, each) => sum + each.usage().cpuSeconds, 0);
  const herd = gatherHerd(run, scenario);
  const stop = new AbortController();
  const progress = setInterval(() => reportProgress(run, scenario), 2000);
  run.say('go');
  const disturbed = scenario.disturb?.(run, system, stop.signal);
  const begin = performance.now();
  try {
    await herd.go(options.timeout * 1000);
  } finally {
    clearInterval(progress);
    stop.abort();
    await disturbed;
  }
  run.say(`ended after ${((performance.now() - begin) / 1000).toFixed(1)} s`);
  const after = await run.net.counts();
  await run.upstream.settle();
  const result = await measure({
    run,
    system,
    systemName: plan.system.name,
    scenario: scenario.name,
    round: plan.round,
    work: scenario.work,
    before,
    after,
    cpuBefore,
  });
  for (const line of result.failures) run.say(line);
  await checkBytes(run, scenario);
  return result;
}

function reportProgress(run: LabRun, scenario: Scenario): void {
  const timed = run.nodes.filter((node) => node.timed);
  const done = timed.filter((node) => node.finishedMs !== undefined);
  const failed = done.filter((node) => !node.dead && !succeeded(node, scenario.work)).length;
  const failures = failed > 0 ? `, ${failed} failed` : '';
  run.say(`${done.length} of ${timed.length} finished${failures}`);
}

/** apt has checked digests; this makes sure that what it calls success is really there. */
async function checkBytes(run: LabRun, scenario: Scenario): Promise<void> {
  if (scenario.work === 'update') return;
  const packages = run.archive.parts.flatMap((part) => part.archive.packages);
  const done = run.nodes.filter((node) => node.timed && node.install === 0);
  const some = done.filter((_, i) => i % Math.ceil(done.length / 4) === 0);
  await inBatches(some, 2, async (node) => {
    const problems = await node.apt.verify(packages);
    if (problems.length > 0) throw new Error(`${node.host.name} has ${problems.join('; ')}`);
  });
}
