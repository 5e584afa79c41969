// The life of a daemon's process: start, signals, a graceful end, and what happens to bugs.
import { reasonOf } from '../errors.ts';
import type { Clock } from '../platform/clock.ts';
import { withDeadline } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';

export interface Service {
  /** Lets running transfers end, then frees everything. */
  close(): Promise<void>;
}

export interface ServeDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly start: () => Promise<Service>;
  /** One line for a person where the failure is known. */
  readonly explain: (error: unknown) => string | undefined;
  /** What serves in place of a service that could not start, for the reason given. */
  readonly instead?: (fault: string) => Promise<Service>;
}

export interface ServeOptions {
  /** How long `close` may take after the first signal, in ms. */
  readonly graceMs: number;
  /** Signals within this time of the first are its echo: npm repeats what a terminal sent. */
  readonly echoMs: number;
  /** What serves instead ends after this long, in ms, with 1: a new start may fare better. */
  readonly retryMs: number;
}

/**
 * Resolves with the exit code when a signal ended the service: 0 when it closed in time, else 1.
 * Start-up failures give one line, and 1 at once unless something serves instead. A later signal
 * ends the process at once.
 *
 * A rejected promise that nobody handles is logged and the daemon goes on: its own work has
 * unwound, and one poisoned answer must not stop sixty daemons one after the other. An uncaught
 * exception may have broken off anybody's work half-way, so the process ends; the service manager
 * holds the listening socket and starts it anew, and the store distrusts what was open.
 */
export async function serve(deps: ServeDeps, options: ServeOptions): Promise<number> {
  const { log, clock } = deps;
  const { graceMs, echoMs, retryMs } = options;
  process.on('uncaughtException', (error) => {
    log.error({ err: error }, 'uncaught exception, ending');
    process.exit(1);
  });
  process.on('unhandledRejection', (error) => {
    log.error({ err: error }, 'unhandled rejection');
  });
  const signal = firstSignal(log, clock, echoMs);
  let failed = false;
  const service = await deps.start().catch((error: unknown) => {
    failed = true;
    const line = deps.explain(error);
    if (line === undefined) log.error({ err: error }, 'could not start');
    else process.stderr.write(`debherd: ${line}\n`);
    return deps.instead?.(line ?? reasonOf(error));
  });
  if (service === undefined) return 1;
  const code = await (failed ? withDeadline(clock, signal, retryMs, 1) : signal);
  const closed = service.close().then(
    () => 'closed',
    (error: unknown) => {
      log.error({ err: error }, 'could not close');
      return 'failed';
    },
  );
  const end = await withDeadline(clock, closed, graceMs, 'late');
  if (end === 'late') log.warn({ graceMs }, 'transfers were still running, ending anyway');
  else log.info({}, 'ended');
  return end === 'closed' ? code : 1;
}

const numbers = { SIGINT: 2, SIGTERM: 15 } as const;

function firstSignal(log: Log, clock: Clock, echoMs: number): Promise<0> {
  return new Promise((resolve) => {
    let firstAtMs: number | undefined;
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.on(name, () => {
        if (firstAtMs === undefined) {
          firstAtMs = clock.monotonicMs();
          log.info({ signal: name }, 'ending');
          resolve(0);
        } else if (clock.monotonicMs() - firstAtMs >= echoMs) {
          process.exit(128 + numbers[name]);
        }
      });
    }
  });
}
