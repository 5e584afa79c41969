// One machine (or the cache server) has one large object; all others want it at one moment.
import type { Scenario } from '../run.ts';

export const warm: Scenario = {
  name: 'warm',
  archive: 'object',
  work: 'install',
  async seed(run) {
    const [holder] = run.nodes;
    if (!holder) return;
    run.say('the holder gets the object');
    holder.timed = false;
    const install = ['-q', '-y', '--download-only', 'install', ...run.archive.install];
    for (const args of [['-q', 'update'], install]) {
      const seconds = run.options.timeout;
      const command = ['env', `APT_CONFIG=${holder.apt.configFile}`, 'apt-get', ...args];
      const result = await holder.host.run(command, seconds * 1000);
      if (result.code !== 0) throw new Error(`the holder's apt failed: ${result.stderr}`);
    }
  },
  async prepare(run) {
    run.say('everyone updates');
    for (const node of run.nodes.slice(1)) {
      const env = `APT_CONFIG=${node.apt.configFile}`;
      const result = await node.host.run(['env', env, 'apt-get', '-q', 'update'], 120_000);
      if (result.code !== 0) throw new Error(`${node.host.name}: ${result.stderr}`);
    }
  },
};
