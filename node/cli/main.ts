// The command: reads the command line and does what its verb says.

import { showHostPort } from '../config/kinds.ts';
import { type Config, keyOf, type Listen, thisMachine } from '../config/table.ts';
import { systemClock } from '../platform/clock.ts';
import { reachableHost } from '../platform/everywhere.ts';
import { takeInheritedSockets } from '../platform/listen-fds.ts';
import { createLog, type Log } from '../platform/log.ts';
import { systemRandom } from '../platform/random.ts';
import { version } from '../version.ts';
import {
  type Command,
  ConfigError,
  complaint,
  configJson,
  parseCommandLine,
  showConfig,
  UsageError,
} from './command-line.ts';
import { type Service, serve } from './serve.ts';
import { explainStartFailure, type Places } from './start-failure.ts';

// Longer than apt needs for a large piece, shorter than a service manager's patience.
const graceMs = 10_000;
const echoMs = 500;

async function startNode(config: Config, log: Log): Promise<Service> {
  const sockets = takeInheritedSockets(process.env, process.pid);
  const { startNode: start } = await import('../node.ts');
  const node = await start(config, { log, sockets });
  const [listen] = node.aptListen;
  if (listen !== undefined) {
    // apt cannot connect to "all addresses".
    const reachable = { ...listen, host: reachableHost(listen.host) };
    process.stdout.write(`Acquire::http::Proxy "http://${showHostPort(reachable)}";\n`);
  }
  return node;
}

async function startTracker(config: Config, log: Log): Promise<Service> {
  const { trackerListen, fleetKeyFile } = config;
  if (trackerListen === undefined || fleetKeyFile === undefined) {
    throw new ConfigError('a tracker needs tracker-listen and fleet-key-file; set both');
  }
  const { readFleetKey } = await import('../fleet/fleet-key.ts');
  const { startTracker: start } = await import('../../tracker/server.ts');
  const { credentials } = await readFleetKey(fleetKeyFile);
  const tracker = await start(
    { clock: systemClock, random: systemRandom, log },
    { ...trackerListen, credentials },
  );
  log.info({ url: tracker.url }, 'tracker serves');
  return tracker;
}

function placesOf(
  config: Config,
  fields: readonly ('aptListen' | 'peerListen' | 'trackerListen')[],
): Places {
  return {
    state: config.state,
    fleetKeyFile: config.fleetKeyFile,
    listens: fields.flatMap((field) =>
      [config[field] ?? []].flat().map((listen: Listen) => [keyOf(field), listen] as const),
    ),
  };
}

async function perform(command: Command): Promise<number> {
  switch (command.verb) {
    case 'help':
      process.stdout.write(command.text);
      return 0;
    case 'version':
      process.stdout.write(`debherd ${version}\n`);
      return 0;
    case 'config':
      process.stdout.write(command.json ? configJson(command.loaded) : showConfig(command.loaded));
      return 0;
  }
  const { config } = command.loaded;
  const log = await createLog(config.logLevel, process.stderr.isTTY);
  const run = command.verb === 'run';
  const start = () => (run ? startNode(config, log) : startTracker(config, log));
  const places = placesOf(
    config,
    run ? ['aptListen', 'peerListen', 'trackerListen'] : ['trackerListen'],
  );
  const explain = (error: unknown) => explainStartFailure(error, places);
  return serve({ log, clock: systemClock, start, explain }, { graceMs, echoMs });
}

/** Mistakes of the person give 2, so that a service manager need not try again; failures give 1. */
async function main(): Promise<number> {
  // Who read the answer may have gone, as in `debherd run | head -1`: apt is served all the same.
  process.stdout.on('error', () => {});
  try {
    return await perform(parseCommandLine(process.argv.slice(2), thisMachine()));
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof UsageError)) throw error;
    process.stderr.write(complaint(error));
    return 2;
  }
}

process.exit(await main());
