// `npm test`: types, lint and all suites; the last line is `N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addUp, closingLine, isGood, type JsonReport, type Tally, tallyOf } from './tally.ts';

const root = path.join(import.meta.dirname, '..');
const tools = path.join(root, 'node_modules/.bin');
// The tools start the pinned Node, whatever the machine has.
const env = { ...process.env, PATH: `${tools}:${process.env.PATH}` };

function run(command: string, args: readonly string[]): number {
  process.stdout.write(`\n> ${[command, ...args].join(' ')}\n`);
  const { status, error } = spawnSync(path.join(tools, command), args, {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  if (error !== undefined) process.stdout.write(`${error.message}\n`);
  return status ?? 1;
}

function check(command: string, ...args: string[]): Tally {
  const failed = run(command, args) === 0 ? 0 : 1;
  return { passed: 1 - failed, failed, skipped: 0 };
}

function suite(project: string, filters: readonly string[]): Tally {
  const folder = mkdtempSync(path.join(tmpdir(), 'debherd-test-'));
  const file = path.join(folder, 'report.json');
  try {
    const status = run('vitest', [
      ...['run', '--config', 'test/vitest.config.ts', '--project', project],
      ...['--reporter=default', '--reporter=json', `--outputFile.json=${file}`],
      ...filters,
    ]);
    return tallyOf(readReport(file), status);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readReport(file: string): JsonReport | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as JsonReport;
  } catch {
    // Vitest did not come so far; its exit code tells.
    return undefined;
  }
}

const filters = process.argv.slice(2);
const checks =
  filters.length > 0 ? [] : [check('tsc', '--noEmit', '-p', '.'), check('biome', 'check')];
const total = addUp([...checks, suite('fast', filters), suite('e2e', filters)]);
process.stdout.write(`\n${closingLine(total)}\n`);
process.exit(isGood(total, process.env.CI === 'true') ? 0 : 1);
