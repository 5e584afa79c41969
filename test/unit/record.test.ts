import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { summaryText } from '../bench/figures.ts';
import {
  appendSection,
  commandText,
  commitText,
  machineText,
  medianOf,
  sectionText,
  spreadText,
} from '../record.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'debherd-record-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const measurement = {
  atMs: Date.UTC(2026, 10, 28, 9, 5, 59),
  commit: 'v1-3-gabc-dirty',
  command: 'npm run herd -- --repeat 3 --record cold-60',
  machine: '2 cores (Some CPU), 24 GiB of memory, Node 24.21.0, Linux 6.1',
  runs: 3,
  body: 'cold\n\n| a |\n|---|\n| 1 |\n\n',
};

test('a section says when, with which commit and command, where and how often', () => {
  expect(sectionText(measurement)).toBe(`## 2026-11-28 09:05 UTC, commit v1-3-gabc-dirty

    npm run herd -- --repeat 3 --record cold-60

2 cores (Some CPU), 24 GiB of memory, Node 24.21.0, Linux 6.1. 3 runs: median (min–max).

cold

| a |
|---|
| 1 |
`);
  expect(sectionText({ ...measurement, runs: 1 })).toContain('Linux 6.1. One run.\n');
});

test('sections are appended, below a title', async () => {
  const file = join(dir, 'results', 'cold-60.md');
  await appendSection(file, '## one\n');
  await appendSection(file, '## two\n');
  expect(readFileSync(file, 'utf8')).toBe('# cold-60\n\n## one\n\n## two\n');
});

test('median and spread', () => {
  const text = (value: number) => value.toFixed(1);
  expect(medianOf([5, 1, 3])).toBe(3);
  expect(medianOf([4, 1, 3, 2])).toBe(2.5);
  expect(spreadText([22.34, 21.9, 22.1], text)).toBe('22.1 (21.9–22.3)');
  expect(spreadText([22.34, 22.31], text)).toBe('22.3');
});

test('a command is what a shell would take', () => {
  const args = ['--wan', '10mbit', '--package', 'a b', '--work', "it's"];
  expect(commandText('herd', args)).toBe(
    String.raw`npm run herd -- --wan 10mbit --package 'a b' --work 'it'\''s'`,
  );
  expect(commandText('bench', ['--only=idle'], '/dev/shm')).toBe(
    'TMPDIR=/dev/shm npm run bench -- --only=idle',
  );
});

test('a machine is told without its name', () => {
  expect(machineText()).toMatch(/^\d+ cores \(.+\), \d+ GiB of memory, Node \d+\..+, Linux \d/);
  expect(machineText()).not.toContain(hostname());
});

test('a commit is dirty by what could change a figure, not by results', () => {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: dir, stdio: 'pipe' });
  expect(commitText(dir)).toBe('unknown');
  git('init', '-q');
  mkdirSync(join(dir, 'test/lab/results'), { recursive: true });
  const source = join(dir, 'node.ts');
  const results = join(dir, 'test/lab/results/cold.md');
  for (const file of [source, results]) writeFileSync(file, 'before');
  git('add', '.');
  git('-c', 'user.name=x', '-c', 'user.email=x@x.example', 'commit', '-qm', 'x');
  writeFileSync(results, 'after');
  expect(commitText(join(dir, 'test/lab'))).toMatch(/^[0-9a-f]{7,}$/);
  writeFileSync(source, 'after');
  expect(commitText(join(dir, 'test/lab'))).toMatch(/^[0-9a-f]{7,}-dirty$/);
});

test('figures of several runs are one row, judged by their median', () => {
  const figure = { bench: 'idle', what: 'memory', unit: 'MB', target: { max: 110 } };
  const figures = [105, 112, 104].map((value) => ({ ...figure, value }));
  const failed = { bench: 'hits', what: 'rate', unit: '1/s', value: null, note: 'stalled' };
  expect(
    summaryText([...figures, failed]),
  ).toBe(`| benchmark | what | measured | unit | target | note |
| --- | --- | --: | --- | --- | --- |
| idle | memory | 105 (104–112) | MB | ≤ 110 met |  |
| hits | rate | – | 1/s |  | stalled |
`);
});
