// A daemon in this process: its log, its failures in words, and what apt is told of them.
import { type Config, keyOf, type Listen } from '../config/table.ts';
import { systemClock } from '../platform/clock.ts';
import type { InheritedSocket } from '../platform/listen-fds.ts';
import { createLog, type Log } from '../platform/log.ts';
import { type Service, serve } from './serve.ts';
import { explainStartFailure, type Places } from './start-failure.ts';

const times = {
  // Longer than apt needs for a large piece, shorter than a service manager's patience.
  graceMs: 10_000,
  echoMs: 500,
  // The disk may have room by then, or the network its address.
  retryMs: 60_000,
};

export interface ServiceOptions {
  readonly config: Config;
  /** Keys of the places it listens at. */
  readonly listens: readonly ('aptListen' | 'peerListen' | 'trackerListen')[];
  /** What a service manager handed over. */
  readonly sockets?: readonly InheritedSocket[];
}

/** Resolves with the exit code, as `serve` does. */
export async function runService(
  start: (log: Log) => Promise<Service>,
  { config, listens, sockets = [] }: ServiceOptions,
): Promise<number> {
  const log = await createLog(config.logLevel, process.stderr.isTTY);
  const places = placesOf(config, listens);
  const deps = {
    log,
    clock: systemClock,
    start: () => start(log),
    explain: (error: unknown) => explainStartFailure(error, places),
  };
  if (sockets.length === 0) return serve(deps, times);
  const instead = (fault: string) => tell(`${fault}; it is tried again within a minute`, sockets);
  return serve({ ...deps, instead }, times);
}

/**
 * A daemon that nobody can start as it is configured ends, with 2; but behind sockets that were
 * handed over it tells apt why, until a signal: the next client would only start it anew.
 */
export async function endOrTell(
  fault: string,
  sockets: readonly InheritedSocket[],
): Promise<number> {
  process.stderr.write(`debherd: ${fault}\n`);
  if (sockets.length === 0) return 2;
  const log = await createLog('info', process.stderr.isTTY);
  const mend = 'mend it, then: systemctl restart debherd';
  const start = () => tell(`${fault}; ${mend}`, sockets);
  return serve({ log, clock: systemClock, start, explain: () => undefined }, times);
}

async function tell(text: string, sockets: readonly InheritedSocket[]): Promise<Service> {
  const { FaultDoor } = await import('../doors/fault-door.ts');
  const fds = sockets.map(({ fd }) => fd);
  return FaultDoor.open(fds, `debherd cannot start: ${text}`);
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
