// npm run bench: what real daemons on loopback do, as a table, one benchmark after the other.
import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { join, relative } from 'node:path';
import { appendSection, commandText, commitText, machineText, sectionText } from '../record.ts';
import { cachedHits } from './cached-hits.ts';
import { catalogFigures } from './catalog-figures.ts';
import { decision } from './decision.ts';
import { type Figure, isMet, summaryText, tableOf } from './figures.ts';
import { fromPeers } from './from-peers.ts';
import { idleCost } from './idle-cost.ts';
import { type BenchOptions, helpText, parseBenchOptions } from './options.ts';
import { restart } from './restart.ts';
import { SharedFleet } from './shared-fleet.ts';
import { stalledClient } from './stalled-client.ts';
import { toldWays } from './told-ways.ts';

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
  ways: { about: 'telling the way of a GET', run: async () => toldWays() },
};

const load = () => loadavg()[0]!.toFixed(1);

async function measure(options: BenchOptions): Promise<number> {
  const before = { atMs: Date.now(), commit: commitText(import.meta.dirname) };
  process.stdout.write(
    `${availableParallelism()} cores, load ${load()}. Whatever else runs here slows every ` +
      'figure: trust ratios of what was\nmeasured side by side, and absolute figures only on ' +
      'an idle machine.\n\n',
  );
  const figures: Figure[] = [];
  const failures: string[] = [];
  for (let run = 0; run < options.repeat; run++) await runAll(options, figures, failures);
  const promised = figures.filter((figure) => isMet(figure) !== undefined);
  const met = promised.filter((figure) => isMet(figure));
  process.stdout.write(`${met.length} of ${promised.length} targets met; load ${load()} now.\n`);
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ figures }, undefined, 1)}\n`);
  }
  if (options.record !== undefined) {
    const file = join(import.meta.dirname, 'results', `${options.record}.md`);
    const section = sectionText({
      ...before,
      command: commandText('bench', process.argv.slice(2), process.env.TMPDIR),
      machine: machineText(),
      runs: options.repeat,
      body: `${summaryText(figures)}\n${failures.join('\n\n')}`,
    });
    await appendSection(file, section);
    process.stdout.write(`recorded in ${relative(process.cwd(), file)}\n`);
  }
  return failures.length > 0 ? 1 : 0;
}

/** Each of the chosen benchmarks once, with a fleet of its own: the last one holds the objects. */
async function runAll(options: BenchOptions, figures: Figure[], failures: string[]): Promise<void> {
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
      const failure = `${name}: ${error instanceof Error ? error.message : error}`;
      failures.push(failure);
      process.stdout.write(`${failure}\n\n`);
    }
  }
  await large.close();
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
