// Upstream goes away in mid-install, as soon as every byte has come in once.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../run.ts';

export const wanCut: Scenario = {
  name: 'wan-cut',
  archive: 'package',
  work: 'update+install',
  async disturb(run, _system, signal) {
    while (!signal.aborted) {
      const { bytes, uniqueBytes } = await run.upstream.count();
      if (Math.min(bytes, uniqueBytes) >= run.archive.packageBytes) {
        await run.net.setConnected('upstream', false);
        return run.say('cut the WAN');
      }
      await sleep(250, undefined, { signal }).catch(() => undefined);
    }
  },
};
