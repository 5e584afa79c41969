// npm run bench: what real daemons on loopback do, as a table, one benchmark after the other.
import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { cachedHits } from './cached-hits.ts';
import { catalogFigures } from './catalog-figures.ts';
import { decision } from './decision.ts';
import { type Figure, isMet, tableOf } from './figures.ts';
import { fromPeers } from './from-peers.ts';
import { idleCost } from './idle-cost.ts';
import { restart } from './restart.ts';
import { stalledClient } from './stalled-client.ts';

interface Options {
  readonly only: readonly string[];
  readonly json: string | undefined;
  readonly idleNodes: number;
  readonly rounds: number;
  readonly requests: number;
}

const benches: Record<string, { about: string; run(options: Options): Promise<Figure[]> }> = {
  hits: {
    about: 'cached hits of the apt door beside nginx and apt-cacher-ng (ab -c550 -X)',
    run: ({ rounds, requests }) => cachedHits({ rounds, requests, clients: 550 }),
  },
  peer: { about: 'objects from another member, and relaying: times and CPU', run: fromPeers },
  decision: {
    about: 'from a GET to the request upstream when nobody has the object',
    run: () => decision({ nodes: 10, objects: 300 }),
  },
  catalog: { about: "learning a distribution's main Packages file", run: catalogFigures },
  idle: {
    about: 'memory and CPU while nobody asks for anything',
    run: ({ idleNodes }) =>
      idleCost({ nodes: idleNodes, objects: 5_000, settleMs: 20_000, windowMs: 30_000 }),
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

const names = Object.keys(benches).join(', ');

const help = `usage: npm run bench -- [flags]

Measures real daemons on loopback; needs root or the Debian packages that it names.

  --only NAME      only this benchmark; may be repeated
  --json FILE      write the figures there too
  --idle-nodes N   members of the idle fleet (default 10)
  --rounds N       rounds of the cached hits, medians are shown (default 3)
  --requests N     requests per round of the cached hits (default 25000)
  --help           this text

Benchmarks:
${Object.entries(benches)
  .map(([name, { about }]) => `  ${name.padEnd(10)} ${about}\n`)
  .join('')}`;

class UsageError extends Error {}

function optionsOf(args: string[]): Options | undefined {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string', multiple: true },
      json: { type: 'string' },
      'idle-nodes': { type: 'string', default: '10' },
      rounds: { type: 'string', default: '3' },
      requests: { type: 'string', default: '25000' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return undefined;
  const only = values.only ?? Object.keys(benches);
  const unknown = only.find((name) => !Object.hasOwn(benches, name));
  if (unknown !== undefined) throw new UsageError(`no benchmark '${unknown}'; there are ${names}`);
  return {
    only,
    json: values.json,
    idleNodes: numberOf('--idle-nodes', values['idle-nodes'], 2, 200),
    rounds: numberOf('--rounds', values.rounds, 1, 100),
    requests: numberOf('--requests', values.requests, 1_000, 1_000_000),
  };
}

function numberOf(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${flag} takes a number from ${min} to ${max}, not '${text}'`);
}

async function measure(options: Options): Promise<number> {
  const load = () => loadavg()[0]!.toFixed(1);
  process.stdout.write(
    `${availableParallelism()} cores, load ${load()}. Whatever else runs here slows every ` +
      'figure: trust ratios of what was\nmeasured side by side, and absolute figures only on ' +
      'an idle machine.\n\n',
  );
  const figures: Figure[] = [];
  let failed = false;
  for (const [name, bench] of Object.entries(benches)) {
    if (!options.only.includes(name)) continue;
    try {
      const found = await bench.run(options);
      figures.push(...found);
      process.stdout.write(`${tableOf(found)}\n`);
    } catch (error) {
      failed = true;
      process.stdout.write(`${name}: ${error instanceof Error ? error.message : error}\n\n`);
    }
  }
  const promised = figures.filter((figure) => isMet(figure) !== undefined);
  const met = promised.filter((figure) => isMet(figure));
  process.stdout.write(`${met.length} of ${promised.length} targets met; load ${load()} now.\n`);
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ figures }, undefined, 1)}\n`);
  }
  return failed ? 1 : 0;
}

async function main(): Promise<number> {
  let options: Options | undefined;
  try {
    options = optionsOf(process.argv.slice(2));
  } catch (error) {
    const [line] = (error as Error).message.split('\n');
    process.stderr.write(`bench: ${line} (see --help)\n`);
    return 2;
  }
  if (options !== undefined) return await measure(options);
  process.stdout.write(help);
  return 0;
}

process.exit(await main());
