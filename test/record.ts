// Results files: one a question; each measurement that is recorded adds a dated section.
import { execFileSync } from 'node:child_process';
import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { basename, dirname } from 'node:path';

export interface Measurement {
  readonly atMs: number;
  readonly commit: string;
  /** As it was typed. */
  readonly command: string;
  readonly machine: string;
  /** Of each system, or of each benchmark. */
  readonly runs: number;
  /** What came out, in Markdown. */
  readonly body: string;
}

export const isRecordName = (name: string) => /^[a-z0-9-]+$/.test(name);

export function sectionText({ atMs, commit, command, machine, runs, body }: Measurement): string {
  const at = new Date(atMs).toISOString().slice(0, 16).replace('T', ' ');
  const spread = runs > 1 ? `${runs} runs: median (min–max).` : 'One run.';
  const how = `    ${command}\n\n${machine}. ${spread}`;
  return `## ${at} UTC, commit ${commit}\n\n${how}\n\n${body.trim()}\n`;
}

/** Appends to `file`; a new one begins with its own name as a title. */
export async function appendSection(file: string, section: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const title = `# ${basename(file, '.md')}\n`;
  await writeFile(file, title, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await appendFile(file, `\n${section}`);
}

/** The middle one, or the mean of the two in the middle; NaN of none. */
export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1]! + sorted[Math.floor(half)]!) / 2;
}

/** `45.8 (44.9–49.1)`; the value alone where all are written alike. */
export function spreadText(values: readonly number[], text: (value: number) => string): string {
  const [least, most] = [text(Math.min(...values)), text(Math.max(...values))];
  return least === most ? most : `${text(medianOf(values))} (${least}–${most})`;
}

/** Groups in the order in which their first one comes. */
export function groupsOf<T>(all: readonly T[], keyOf: (one: T) => string): T[][] {
  return [...Map.groupBy(all, keyOf).values()];
}

/** A line for a shell. `TMPDIR` belongs to it: it says whether a disk was in the way. */
export function commandText(script: string, args: readonly string[], tmpdir?: string): string {
  const quoted = args.map((arg) =>
    /^[\w./:=,@%+-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", "'\\''")}'`,
  );
  const variable = tmpdir === undefined ? '' : `TMPDIR=${tmpdir} `;
  return `${variable}npm run ${script} -- ${quoted.join(' ')}`.trimEnd();
}

/** Nothing that names the machine. */
export function machineText(): string {
  const model = cpus()[0]?.model.trim() || 'unknown CPU';
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  const cores = `${availableParallelism()} cores (${model}), ${memory} GiB of memory`;
  return `${cores}, Node ${process.version.slice(1)}, ${type()} ${release()}`;
}

/** As `git describe --always --dirty`, but results recorded before do not make it dirty. */
export function commitText(folder: string): string {
  const git = (...args: string[]) =>
    String(execFileSync('git', args, { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })).trim();
  try {
    const commit = git('describe', '--always');
    const results = ':(top,exclude)test/*/results/*';
    const changed = git('diff', '--name-only', 'HEAD', '--', ':/', results);
    return changed === '' ? commit : `${commit}-dirty`;
  } catch {
    return 'unknown';
  }
}
