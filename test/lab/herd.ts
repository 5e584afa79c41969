// npm run herd: many machines, one moment, several systems, in the same run on the same links.
import { readdirSync, rmSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import {
  appendSection,
  commandText,
  commitText,
  type Measurement,
  machineText,
  sectionText,
} from '../record.ts';
import { buildLabArchive } from './archives.ts';
import type { Result } from './measure.ts';
import { isHerd, type Net, removeLeftovers } from './netns.ts';
import { type HerdOptions, helpText, parseHerdOptions, UsageError } from './options.ts';
import { plotSvg } from './plot.ts';
import { meetRequirements } from './requirements.ts';
import type { Scenario, System } from './run.ts';
import { scenarios } from './scenarios/all.ts';
import { perform } from './stage.ts';
import { systems } from './systems/all.ts';
import { summaryText, tableText } from './table.ts';

const names = {
  systems: systems.map((each) => each.name),
  scenarios: scenarios.map((each) => each.name),
};
const workPrefix = 'debherd-herd-';
const openNets = new Set<Net>();
const openDirs = new Set<string>();

function say(line: string): void {
  const seconds = (performance.now() / 1000).toFixed(1).padStart(6);
  process.stderr.write(`herd ${seconds} s  ${line}\n`);
}

/** Nothing stays behind: neither after an error nor after Ctrl-C. */
function cleanUpAtExit(): void {
  process.on('exit', () => {
    for (const net of openNets) net.remove();
    for (const dir of openDirs) rmSync(dir, { recursive: true, force: true });
  });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
  process.on('uncaughtException', fail);
  process.on('unhandledRejection', fail);
}

function fail(error: unknown): void {
  const usage = error instanceof UsageError;
  process.stderr.write(`herd: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env.HERD_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exit(usage ? 2 : 1);
}

async function main(): Promise<void> {
  const options = parseHerdOptions(process.argv.slice(2), names.systems, names.scenarios);
  if (options.verb === 'help') {
    process.stdout.write(helpText(names.systems, names.scenarios));
    return;
  }
  cleanUpAtExit();
  if (options.verb === 'cleanup') return cleanUp(options);
  const chosen = options.systems.map((name) => systems.find((each) => each.name === name)!);
  const scenario = scenarios.find((each) => each.name === options.scenario)!;
  await meetRequirements(chosen, say);
  removeLeftovers();
  const before = { atMs: Date.now(), commit: commitText(import.meta.dirname) };
  const results = await runAll(options, chosen, scenario);
  const title = titleOf(options);
  process.stdout.write(`\n${title}\n\n${tableText(results)}`);
  if (options.json) await writeFile(options.json, jsonOf(options, results));
  if (options.plot) await writeFile(options.plot, plotSvg(title, results));
  if (options.record) await record(options, title, results, before);
  const failures = results.reduce((sum, r) => sum + r.failedUpdates + r.failedInstalls, 0);
  if (failures > 0) say(`${failures} runs of apt failed`);
  // For CI: what the incumbents cannot do is no failure of ours.
  if (results.some((r) => r.system === 'debherd' && hasFailed(r))) process.exitCode = 1;
}

function hasFailed(result: Result): boolean {
  return result.failedUpdates + result.failedInstalls > 0;
}

async function runAll(
  options: HerdOptions,
  chosen: readonly System[],
  scenario: Scenario,
): Promise<Result[]> {
  const parent = resolve(options.work ?? tmpdir());
  await mkdir(parent, { recursive: true });
  const work = await mkdtemp(join(parent, `${workPrefix}${process.pid}-`));
  // squid and apt's methods may run as other users.
  await chmod(work, 0o755);
  if (options.keep) say(`state and logs are in ${work}`);
  else openDirs.add(work);
  say('building the archive');
  const archive = await buildLabArchive(join(work, 'archive'), scenario.archive, options);
  const results: Result[] = [];
  for (let round = 1; round <= options.repeat; round++) {
    for (const system of chosen) {
      const label = options.repeat > 1 ? `${system.name} ${round}` : system.name;
      const dir = join(work, `${system.name}-${round}`);
      await mkdir(dir);
      const speak = (line: string) => say(`${label}: ${line}`);
      const plan = { options, system, scenario, archive, round, dir, say: speak };
      const result = await perform(plan, openNets);
      results.push(result);
      process.stderr.write(tableText([result]));
    }
  }
  return results;
}

/** What killed runs have left: namespaces with their processes, and folders. */
function cleanUp(options: HerdOptions): void {
  const namespaces = removeLeftovers();
  const parent = resolve(options.work ?? tmpdir());
  const dirs = readdirSync(parent).filter((name) => {
    const pid = /^debherd-herd-(\d+)-/.exec(name)?.[1];
    return pid !== undefined && !isHerd(Number(pid));
  });
  for (const dir of dirs) rmSync(join(parent, dir), { recursive: true, force: true });
  say(`removed ${namespaces} namespaces and ${dirs.length} folders of dead runs`);
}

/** Before the first run, as somebody may edit or commit meanwhile. */
type Before = Pick<Measurement, 'atMs' | 'commit'>;

async function record(
  options: HerdOptions,
  title: string,
  results: readonly Result[],
  before: Before,
): Promise<void> {
  const file = join(import.meta.dirname, 'results', `${options.record}.md`);
  const plot = options.plot && relative(dirname(file), resolve(options.plot));
  // A picture elsewhere on this machine is of no use to a reader of the file.
  const picture = plot && !plot.startsWith('..') ? `\n![time against machines](${plot})\n` : '';
  const section = sectionText({
    ...before,
    command: commandText('herd', process.argv.slice(2)),
    machine: machineText(),
    runs: options.repeat,
    body: `${title}\n\n${summaryText(results)}${picture}`,
  });
  await appendSection(file, section);
  say(`recorded in ${relative(process.cwd(), file)}`);
}

function titleOf(options: HerdOptions): string {
  const rate = (value: number) => `${value / 1e6} Mbit/s`;
  const what = { warm: `one object of ${options.objectSize / 1e6} MB`, update: 'apt-get update' };
  const work = what[options.scenario as keyof typeof what] ?? options.package;
  const links = `links ${rate(options.lan)}, WAN ${rate(options.wan)}`;
  return `${options.scenario}: ${options.nodes} machines, ${links}, ${work}`;
}

function jsonOf(options: HerdOptions, results: readonly Result[]): string {
  return `${JSON.stringify({ options, results }, undefined, 2)}\n`;
}

await main().catch(fail);
