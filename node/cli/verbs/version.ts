import { version as ours } from '../../version.ts';
import type { Verb } from './verb.ts';

export const version: Verb = {
  summary: 'print the version',
  fields: [],
  async perform() {
    process.stdout.write(`debherd ${ours}\n`);
    return 0;
  },
};
