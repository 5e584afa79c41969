// No cache at all: every machine goes upstream.
import type { System } from '../run.ts';

export const direct: System = {
  name: 'direct',
  packages: [],
  proxy: () => undefined,
  start: async () => ({ processes: [], stop: async () => {} }),
};
