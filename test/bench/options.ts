// The command line of the benchmarks.
import { parseArgs } from 'node:util';
import { isRecordName } from '../record.ts';

export interface BenchOptions {
  readonly only: readonly string[];
  readonly json: string | undefined;
  /** Results file, without folder and ending. */
  readonly record: string | undefined;
  /** Runs of each benchmark. */
  readonly repeat: number;
  /** Members of the fleet in which small objects and decisions are measured. */
  readonly fleetNodes: number;
  readonly idleNodes: number;
  /** From the start of the idle fleet to the window in which it is watched. */
  readonly idleSettleMs: number;
  readonly rounds: number;
  readonly requests: number;
}

export class UsageError extends Error {}

/** By name: what it measures, in half a line. */
export type BenchNames = Readonly<Record<string, { readonly about: string }>>;

export const helpText = (benches: BenchNames) => `usage: npm run bench -- [flags]

Measures real daemons on loopback; needs root or the Debian packages that it names. Sixty daemons
take 6 GB of memory; TMPDIR=/dev/shm keeps the disk out of the figures.

  --only NAME            only this benchmark; may be repeated
  --repeat N             runs of each benchmark; medians and extremes are shown (default 1)
  --json FILE            write the figures there too
  --record NAME          add a section to test/bench/results/NAME.md: date, commit, machine, table
  --fleet-nodes N        members of the fleet for small objects (peer) and decision (default 60)
  --idle-nodes N         members of the idle fleet (default 10)
  --idle-settle SECONDS  how long the idle fleet is left alone before it is watched (default 20);
                         each member needs 83 minutes to announce 5,000 objects for the first
                         time, so it is watched twice: in the middle of that, and in the pace of
                         members that have it behind them
  --rounds N             rounds of the cached hits, medians are shown (default 3)
  --requests N           requests per round of the cached hits (default 25000)
  --help                 this text

Benchmarks:
${Object.entries(benches)
  .map(([name, { about }]) => `  ${name.padEnd(10)} ${about}\n`)
  .join('')}`;

/** undefined: help is wanted. Throws UsageError, or what parseArgs throws of unknown flags. */
export function parseBenchOptions(
  args: readonly string[],
  benches: BenchNames,
): BenchOptions | undefined {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { ...text, multiple: true },
      json: text,
      record: text,
      repeat: { ...text, default: '1' },
      'fleet-nodes': { ...text, default: '60' },
      'idle-nodes': { ...text, default: '10' },
      'idle-settle': { ...text, default: '20' },
      rounds: { ...text, default: '3' },
      requests: { ...text, default: '25000' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return undefined;
  const only = values.only ?? Object.keys(benches);
  const unknown = only.find((name) => !Object.hasOwn(benches, name));
  if (unknown !== undefined) {
    const names = Object.keys(benches).join(', ');
    throw new UsageError(`no benchmark '${unknown}'; there are ${names}`);
  }
  return {
    only,
    json: values.json,
    record: recordName(values.record),
    repeat: numberOf('--repeat', values.repeat, 1, 100),
    fleetNodes: numberOf('--fleet-nodes', values['fleet-nodes'], 3, 200),
    idleNodes: numberOf('--idle-nodes', values['idle-nodes'], 2, 200),
    idleSettleMs: 1_000 * numberOf('--idle-settle', values['idle-settle'], 1, 100_000),
    rounds: numberOf('--rounds', values.rounds, 1, 100),
    requests: numberOf('--requests', values.requests, 1_000, 1_000_000),
  };
}

function recordName(name: string | undefined): string | undefined {
  if (name === undefined || isRecordName(name)) return name;
  throw new UsageError(`--record takes a name of a-z, 0-9 and -, not '${name}'`);
}

function numberOf(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${flag} takes a number from ${min} to ${max}, not '${text}'`);
}
