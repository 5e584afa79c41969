// Upstream goes away in mid-install, as soon as every byte has come in once.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../run.ts';

export const wanCut: Scenario = {
  name: 'wan-cut',
  archive: 'package',
  work: 'update+install',
  async disturb(run, _system, signal) {
    while (!signal.aborted) {
      const { deliveredBytes } = await run.upstream.count();
      if (deliveredBytes >= run.archive.packageBytes) {
        // What nginx gave to the kernel still has to leave it.
        await pause(1000, signal);
        await run.net.setConnected('upstream', false);
        return run.say('cut the WAN');
      }
      await pause(250, signal);
    }
  },
};

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal }).catch(() => undefined);
}
