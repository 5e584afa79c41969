// Two suites: `fast` in two processes, `e2e` one file after the other, as they share two cores.
import path from 'node:path';
import { defineConfig } from 'vitest/config';

const setupFiles = [path.join(import.meta.dirname, 'setup/fail-on-warnings.ts')];
const globalSetup = [path.join(import.meta.dirname, 'setup/programs.ts')];

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
          globalSetup,
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
          globalSetup,
          fileParallelism: false,
          testTimeout: 120_000,
          // Large Debian packages are installed in hooks.
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
