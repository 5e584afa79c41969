// The lab on the smallest scale: real namespaces, real links, real apt, and nothing left behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { canRunLab, herdMain as herd, labPackages, namespacesOf } from '../fixtures/lab.ts';
import { run } from '../fixtures/process.ts';
import type { Result } from '../lab/measure.ts';

const small = ['--nodes', '3', '--systems', 'direct', '--scenario', 'warm', '--lan', '20mbit'];
const able = canRunLab();
let dir: string;

beforeAll(async () => {
  if (able) await ensureDebianPackages(labPackages);
  dir = await mkdtemp(join(tmpdir(), 'debherd-lab-test-'));
});

afterAll(() => rm(dir, { recursive: true, force: true }));

test('a bad flag ends with one line that names it', async () => {
  const result = await run(process.execPath, [herd, '--nodes', 'many']);
  expect(result.code).toBe(2);
  expect(result.stderr).toBe('herd: --nodes many: a whole number from 2 to 500 is needed\n');
});

test.runIf(able)('what the links allow is what is measured', { timeout: 60_000 }, async () => {
  const json = join(dir, 'result.json');
  const args = [herd, ...small, '--wan', '10mbit', '--object-size', '1mb', '--json', json];
  const done = await run(process.execPath, [...args, '--work', dir], { timeoutMs: 50_000 });
  expect(done.stderr).toContain('ended after');
  expect(done.code).toBe(0);
  const { results } = JSON.parse(await readFile(json, 'utf8')) as { results: Result[] };
  const [result] = results;
  expect(result).toMatchObject({ nodes: 2, failedInstalls: 0, upstreamRequests: 2 });
  // Two machines, one object of 1 MB each, over one link of 10 Mbit/s: 1.6 s and headers.
  expect(result?.makespan).toBeGreaterThan(1.5);
  expect(result?.wanAmplification).toBe(2);
  expect(readdirSync(dir)).toEqual(['result.json']);
});

test.runIf(able)('nothing is left after an interrupt', { timeout: 30_000 }, async () => {
  const args = [herd, ...small, '--wan', '100kbit', '--object-size', '9mb', '--work', dir];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  for await (const chunk of child.stderr) if (String(chunk).includes('the holder gets')) break;
  expect(namespacesOf(child.pid).length).toBe(6);
  child.kill('SIGINT');
  expect((await ended)[0]).toBe(130);
  expect(namespacesOf(child.pid)).toEqual([]);
  expect(readdirSync(dir).filter((name) => name.startsWith('debherd-herd-'))).toEqual([]);
});
