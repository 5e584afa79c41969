// Members that do harm: one whose link is slow, one that spoils bytes.
import type { Scenario } from '../run.ts';

export const slowPeer: Scenario = {
  name: 'slow-peer',
  archive: 'package',
  work: 'update+install',
  async prepare(run) {
    const [slow] = run.nodes;
    if (!slow) return;
    slow.aside = true;
    await run.net.setRate(slow.host.name, run.options.lan / 10);
    run.say(`${slow.host.name} has a tenth of the rate`);
  },
};

export const corruptPeer: Scenario = {
  name: 'corrupt-peer',
  archive: 'package',
  work: 'update+install',
  wishes: { corruptNode: 1 },
};
