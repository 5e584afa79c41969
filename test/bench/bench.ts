// npm run bench: what real daemons on loopback do, as a table, one benchmark after the other.
import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { cachedHits } from './cached-hits.ts';
import { catalogFigures } from './catalog-figures.ts';
import { decision } from './decision.ts';
import { type Figure, isMet, tableOf } from './figures.ts';
import { fromPeers } from './from-peers.ts';
import { idleCost } from './idle-cost.ts';
import { type BenchOptions, helpText, parseBenchOptions } from './options.ts';
import { restart } from './restart.ts';
import { SharedFleet } from './shared-fleet.ts';
import { stalledClient } from './stalled-client.ts';

interface Bench {
  readonly about: string;
  /** Uses the large fleet. */
  readonly large?: boolean;
  run(options: BenchOptions, large: SharedFleet): Promise<Figure[]>;
}

const benches: Record<string, Bench> = {
  hits: {
    about: 'cached hits of the apt door beside nginx and apt-cacher-ng (ab -c550 -X)',
    run: ({ rounds, requests }) => cachedHits({ rounds, requests, clients: 550 }),
  },
  peer: {
    about: 'objects from another member, and relaying: times and CPU',
    large: true,
    run: (_, large) => fromPeers(large),
  },
  decision: {
    about: 'from a GET to the request upstream when nobody has the object',
    large: true,
    run: async (_, large) => decision(await large.get(), { objects: 300 }),
  },
  catalog: { about: "learning a distribution's main Packages file", run: catalogFigures },
  idle: {
    about: 'memory, CPU and messages while nobody asks for anything',
    run: ({ idleNodes: nodes, idleSettleMs: settleMs }) =>
      idleCost({ nodes, objects: 5_000, settleMs, windowMs: 30_000 }),
  },
  restart: {
    about: 'from kill -9 to serving',
    run: () => restart({ objects: 5_000, times: 5 }),
  },
  stall: {
    about: 'memory held for a client that pipelines ten large objects and stops reading',
    run: stalledClient,
  },
};

async function measure(options: BenchOptions): Promise<number> {
  const load = () => loadavg()[0]!.toFixed(1);
  process.stdout.write(
    `${availableParallelism()} cores, load ${load()}. Whatever else runs here slows every ` +
      'figure: trust ratios of what was\nmeasured side by side, and absolute figures only on ' +
      'an idle machine.\n\n',
  );
  const figures: Figure[] = [];
  let failed = false;
  const large = new SharedFleet(options.fleetNodes);
  for (const [name, bench] of Object.entries(benches)) {
    if (!options.only.includes(name)) continue;
    // Sixty daemons in the background would be part of what is measured.
    if (!bench.large) await large.close();
    try {
      const found = await bench.run(options, large);
      figures.push(...found);
      process.stdout.write(`${tableOf(found)}\n`);
    } catch (error) {
      failed = true;
      process.stdout.write(`${name}: ${error instanceof Error ? error.message : error}\n\n`);
    }
  }
  await large.close();
  const promised = figures.filter((figure) => isMet(figure) !== undefined);
  const met = promised.filter((figure) => isMet(figure));
  process.stdout.write(`${met.length} of ${promised.length} targets met; load ${load()} now.\n`);
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ figures }, undefined, 1)}\n`);
  }
  return failed ? 1 : 0;
}

async function main(): Promise<number> {
  let options: BenchOptions | undefined;
  try {
    options = parseBenchOptions(process.argv.slice(2), benches);
  } catch (error) {
    const [line] = (error as Error).message.split('\n');
    process.stderr.write(`bench: ${line} (see --help)\n`);
    return 2;
  }
  if (options !== undefined) return await measure(options);
  process.stdout.write(helpText(benches));
  return 0;
}

// So that children are ended (fixtures/process.ts) and folders removed after Ctrl-C, too.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130));

process.exit(await main());
