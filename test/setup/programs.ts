// Before the first test of a suite: the programs that it starts are there.
import type { TestProject } from 'vitest/node';
import { ensureDebianPackages } from '../fixtures/debian-packages.ts';
import { programs, type Suite } from '../fixtures/programs.ts';

export default async function installPrograms({ name }: TestProject): Promise<void> {
  await ensureDebianPackages([...new Set(Object.values(programs[name as Suite]))]);
}
