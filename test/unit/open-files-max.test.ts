import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { openFilesMax } from '../../node/platform/open-files-max.ts';

const main = new URL('../../node/platform/open-files-max.ts', import.meta.url);

test('is what the shell has set', () => {
  const script = `import('${main}').then((m) => console.log(m.openFilesMax()))`;
  const command = `ulimit -n 300 && exec '${process.execPath}' -e "${script}"`;
  expect(execFileSync('sh', ['-c', command]).toString()).toBe('300\n');
});

test('is without bound where nothing says so', () => {
  expect(openFilesMax('')).toBe(Number.POSITIVE_INFINITY);
  expect(openFilesMax('Max open files            unlimited  unlimited   files\n')).toBe(
    Number.POSITIVE_INFINITY,
  );
});
