// `debherd tracker`: a tracker without a node.
import { type Config, ConfigError } from '../../config/table.ts';
import { systemClock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { systemRandom } from '../../platform/random.ts';
import { runService } from '../run-service.ts';
import type { Service } from '../serve.ts';
import type { Verb } from './verb.ts';

export const tracker: Verb = {
  summary: 'run a tracker alone: the place where the members of a fleet meet',
  fields: ['trackerListen', 'fleetKeyFile', 'logLevel'],
  flags: { trackerListen: 'listen' },
  defaults: { trackerListen: '0.0.0.0:3144' },
  required: ['fleetKeyFile'],
  async perform({ load }) {
    const { config } = load();
    return runService((log) => startTracker(config, log), { config, listens: ['trackerListen'] });
  },
};

async function startTracker(config: Config, log: Log): Promise<Service> {
  const { trackerListen, fleetKeyFile } = config;
  if (trackerListen === undefined || fleetKeyFile === undefined) {
    throw new ConfigError('a tracker needs tracker-listen and fleet-key-file; set both');
  }
  const { readFleetKey } = await import('../../fleet/fleet-key.ts');
  const { startTracker: start } = await import('../../../tracker/server.ts');
  const { credentials } = await readFleetKey(fleetKeyFile);
  const server = await start(
    { clock: systemClock, random: systemRandom, log },
    { ...trackerListen, credentials },
  );
  log.info({ url: server.url }, 'tracker serves');
  return server;
}
