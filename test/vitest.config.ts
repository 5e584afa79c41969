// Two suites: `fast` in two processes, `e2e` one file after the other, as they share two cores.
import path from 'node:path';
import { defineConfig } from 'vitest/config';

const setupFiles = [path.join(import.meta.dirname, 'setup/fail-on-warnings.ts')];

export default defineConfig({
  root: path.join(import.meta.dirname, '..'),
  test: {
    pool: 'forks',
    passWithNoTests: true,
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/{unit,contract,property,fleet,sim}/**/*.test.ts'],
          setupFiles,
          maxWorkers: 2,
          testTimeout: 20_000,
          hookTimeout: 20_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          setupFiles,
          fileParallelism: false,
          testTimeout: 120_000,
          // Debian packages are installed in hooks.
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
