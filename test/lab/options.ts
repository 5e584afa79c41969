// The command line of the lab.
import { parseArgs } from 'node:util';
import { isRecordName } from '../record.ts';

export interface HerdOptions {
  readonly verb: 'run' | 'cleanup' | 'help';
  readonly nodes: number;
  /** Link rates in bit/s. */
  readonly lan: number;
  readonly wan: number;
  readonly package: string;
  readonly systems: readonly string[];
  readonly scenario: string;
  readonly repeat: number;
  /** Size in bytes of the one object of scenario `warm`. */
  readonly objectSize: number;
  /** A run that takes longer is stopped; seconds. */
  readonly timeout: number;
  readonly json: string | undefined;
  readonly plot: string | undefined;
  /** Results file, without folder and ending. */
  readonly record: string | undefined;
  /** Folder for state; default: the system's for temporary files. */
  readonly work: string | undefined;
  /** Leave the state folder for a look at logs. */
  readonly keep: boolean;
  /** Folder for CPU profiles of two nodes. */
  readonly profile: string | undefined;
}

export class UsageError extends Error {}

export function helpText(systems: readonly string[], scenarios: readonly string[]): string {
  return `usage: npm run herd -- [options]        measure (as root)
       npm run herd -- cleanup          remove what killed runs left behind

Many machines run apt-get update and the same install at one moment, each in a network
namespace of its own with a rate-limited link, against an archive behind a WAN-rate link.

  --nodes N            machines (60)
  --lan RATE           link of each machine and of the server, each way (50mbit)
  --wan RATE           link of the upstream archive, each way (10mbit)
  --package NAME       what they install, with its dependencies (blender-data)
  --systems A,B,...    ${systems.join(', ')}
                       (debherd,apt-cacher-ng,nginx)
  --scenario NAME      ${scenarios.slice(0, 6).join(', ')},
                       ${scenarios.slice(6).join(', ')} (cold)
  --repeat N           runs of each system (1)
  --object-size SIZE   scenario warm: size of the one object (100mb)
  --timeout SECONDS    stop a run after this long (900)
  --json FILE          results for programs
  --plot FILE.svg      time against machines finished, one curve a system
  --record NAME        add a section to test/lab/results/NAME.md: date, commit, machine, table
  --work DIR           folder for state; 100 MB and more per machine (the system's temporary one)
  --keep               leave the state folder, with all logs
  --profile DIR        CPU profiles of the daemons of machines 1 and 2
`;
}

export function parseHerdOptions(
  args: readonly string[],
  systems: readonly string[],
  scenarios: readonly string[],
): HerdOptions {
  const { values, positionals } = parseOrUsage(args);
  const verb = values.help ? 'help' : (positionals[0] ?? 'run');
  if (verb !== 'run' && verb !== 'cleanup' && verb !== 'help') {
    throw new UsageError(`unknown verb ${verb}; there are run, cleanup and --help`);
  }
  const chosen = values.systems.split(',').filter(Boolean);
  for (const name of chosen) oneOf('--systems', name, systems);
  if (chosen.length === 0) throw new UsageError('--systems names no system');
  const packageName = values.package;
  if (!/^[a-z0-9][a-z0-9+.-]+$/.test(packageName)) {
    throw new UsageError(`--package ${packageName}: that is not a package name`);
  }
  return {
    verb,
    nodes: whole('--nodes', values.nodes, 2, 500),
    lan: rate('--lan', values.lan),
    wan: rate('--wan', values.wan),
    package: packageName,
    systems: [...new Set(chosen)],
    scenario: oneOf('--scenario', values.scenario, scenarios),
    repeat: whole('--repeat', values.repeat, 1, 100),
    objectSize: size('--object-size', values['object-size']),
    timeout: whole('--timeout', values.timeout, 10, 86_400),
    json: values.json,
    plot: values.plot,
    record: recordName(values.record),
    work: values.work,
    keep: values.keep,
    profile: values.profile,
  };
}

function parseOrUsage(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        nodes: { type: 'string', default: '60' },
        lan: { type: 'string', default: '50mbit' },
        wan: { type: 'string', default: '10mbit' },
        package: { type: 'string', default: 'blender-data' },
        systems: { type: 'string', default: 'debherd,apt-cacher-ng,nginx' },
        scenario: { type: 'string', default: 'cold' },
        repeat: { type: 'string', default: '1' },
        'object-size': { type: 'string', default: '100mb' },
        timeout: { type: 'string', default: '900' },
        json: { type: 'string' },
        plot: { type: 'string' },
        record: { type: 'string' },
        work: { type: 'string' },
        keep: { type: 'boolean', default: false },
        profile: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    // parseArgs adds advice about `--` after the first sentence.
    throw new UsageError(String((error as Error).message).split('. ')[0]);
  }
}

function oneOf(flag: string, value: string, known: readonly string[]): string {
  if (known.includes(value)) return value;
  throw new UsageError(`${flag} ${value}: there are ${known.join(', ')}`);
}

function recordName(name: string | undefined): string | undefined {
  if (name === undefined || isRecordName(name)) return name;
  throw new UsageError(`--record ${name}: a name of a-z, 0-9 and - is needed`);
}

function whole(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new UsageError(`${flag} ${text}: a whole number from ${min} to ${max} is needed`);
}

function rate(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(k|m|g)bit$/i.exec(text);
  const factor = { k: 1e3, m: 1e6, g: 1e9 }[match?.[2]?.toLowerCase() ?? ''] ?? 0;
  const value = Number(match?.[1]) * factor;
  if (value >= 100_000) return value;
  throw new UsageError(`${flag} ${text}: a rate like 50mbit or 1gbit is needed (100kbit or more)`);
}

function size(flag: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(k|m|g)b$/i.exec(text);
  const factor = { k: 1e3, m: 1e6, g: 1e9 }[match?.[2]?.toLowerCase() ?? ''] ?? 0;
  const value = Number(match?.[1]) * factor;
  if (value >= 1000 && value <= 1e9) return value;
  throw new UsageError(`${flag} ${text}: a size like 500kb or 100mb is needed (up to 1gb)`);
}
