// The command: reads the command line and does what its verb says.
import { ConfigError, thisMachine } from '../config/table.ts';
import { takeInheritedSockets } from '../platform/listen-fds.ts';
import { parseCommandLine, UsageError, verbs } from './command-line.ts';
import { endOrTell } from './run-service.ts';

/** Mistakes of the person give 2, so that a service manager need not try again; failures give 1. */
async function main(): Promise<number> {
  // Who read the answer may have gone, as in `debherd run | head -1`: apt is served all the same.
  process.stdout.on('error', () => {});
  const sockets = takeInheritedSockets(process.env, process.pid);
  try {
    const command = parseCommandLine(process.argv.slice(2), thisMachine());
    if ('verb' in command) return await verbs[command.verb].perform({ ...command, sockets });
    process.stdout.write(command.help);
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof UsageError)) throw error;
    return endOrTell(error.message, sockets);
  }
}

process.exit(await main());
