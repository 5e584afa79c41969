// Entry point of a daemon that has announced its store before: it goes on with the slow cycle at
// once, where the product's first takes 83 minutes for 5,000 objects. The rest is the product.
import { parseCommandLine } from '../../node/command-line.ts';
import { thisMachine } from '../../node/config.ts';
import { startNode } from '../../node/node.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { createLog } from '../../node/platform/log.ts';
import { serve } from '../../node/serve.ts';
import { AnnouncedBefore } from './announced-before.ts';

const command = parseCommandLine(process.argv.slice(2), thisMachine());
if (command.verb !== 'run') throw new Error('only `run` here');
const { config } = command.loaded;
const log = await createLog(config.logLevel, false);
const decorate = {
  discovery: (inner: ConstructorParameters<typeof AnnouncedBefore>[0]['discovery']) =>
    new AnnouncedBefore({ discovery: inner, clock: systemClock, phase: Math.random() }),
};
process.exitCode = await serve(
  {
    log,
    clock: systemClock,
    start: () => startNode(config, { log, decorate }),
    explain: (error) => String(error),
  },
  { graceMs: 5_000, echoMs: 0 },
);
process.exit();
