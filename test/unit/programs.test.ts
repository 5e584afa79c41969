// A fresh machine has what a test starts: it is everywhere, or installed before the suite.
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { everywhere, programs, type Suite } from '../fixtures/programs.ts';
import { closureOf, programsStarted } from '../tidy/programs.ts';
import { readSource } from '../tidy/source.ts';

const root = path.join(import.meta.dirname, '../..');
// The lab and the benchmarks install what they start.
const files = globSync('{test,node,tracker}/**/*.ts', { cwd: root }).filter(
  (file) => !/^test\/(lab|bench)\//.test(file),
);
const sources = new Map(
  files.map((file) => [file, readSource(file, readFileSync(path.join(root, file), 'utf8'))]),
);

test.each<[Suite, RegExp]>([
  ['fast', /^test\/(unit|contract|property|fleet|sim)\/.*\.test\.ts$/],
  ['e2e', /^test\/e2e\/.*\.test\.ts$/],
])('each program that a test of %s starts is on the list', (suite, ofSuite) => {
  const listed = new Set([...everywhere, ...Object.keys(programs[suite])]);
  const tests = files.filter((file) => ofSuite.test(file));
  const started = new Map<string, string>();
  for (const source of tests.flatMap((file) => closureOf(file, sources))) {
    for (const program of programsStarted(source)) started.set(program, source.path);
  }
  expect(started.size).toBeGreaterThan(5);
  const missing = [...started].filter(([program]) => !listed.has(program));
  expect(missing).toEqual([]);
});

test('a program is seen however it is started, through what a file imports', () => {
  const text = (lines: string[]) => lines.join('\n');
  const few = new Map(
    Object.entries({
      'test/a.ts': text(["import { b } from './deep/b.ts';", "spawn('one', []);", 'spawn(b);']),
      'test/deep/b.ts': text(["import '../a.ts';", "await run('/usr/bin/two', ['x']);"]),
      'test/c.ts': "spawnSync('three');",
    }).map(([file, source]) => [file, readSource(file, source)]),
  );
  expect(closureOf('test/a.ts', few).flatMap(programsStarted)).toEqual(['one', 'two']);
});
