// A daemon in this process: its log, and its failures in words.
import { type Config, keyOf, type Listen } from '../config/table.ts';
import { systemClock } from '../platform/clock.ts';
import { createLog, type Log } from '../platform/log.ts';
import { type Service, serve } from './serve.ts';
import { explainStartFailure, type Places } from './start-failure.ts';

const times = {
  // Longer than apt needs for a large piece, shorter than a service manager's patience.
  graceMs: 10_000,
  echoMs: 500,
};

export interface ServiceOptions {
  readonly config: Config;
  /** Keys of the places it listens at. */
  readonly listens: readonly ('aptListen' | 'peerListen' | 'trackerListen')[];
}

/** Resolves with the exit code, as `serve` does. */
export async function runService(
  start: (log: Log) => Promise<Service>,
  { config, listens }: ServiceOptions,
): Promise<number> {
  const log = await createLog(config.logLevel, process.stderr.isTTY);
  const places = placesOf(config, listens);
  const deps = {
    log,
    clock: systemClock,
    start: () => start(log),
    explain: (error: unknown) => explainStartFailure(error, places),
  };
  return serve(deps, times);
}

function placesOf(config: Config, listens: ServiceOptions['listens']): Places {
  return {
    state: config.state,
    fleetKeyFile: config.fleetKeyFile,
    listens: listens.flatMap((field) =>
      [config[field] ?? []].flat().map((listen: Listen) => [keyOf(field), listen] as const),
    ),
  };
}
