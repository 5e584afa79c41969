// What can be configured: one table that parsing, --help, `debherd config` and the README share.
import { statfsSync } from 'node:fs';
import { hostname, networkInterfaces, userInfo } from 'node:os';
import path from 'node:path';
import * as kind from './kinds.ts';
import {
  ConfigError,
  type Origin,
  readConfigFile,
  readEnvironment,
  type Setting,
} from './sources.ts';
import { didYouMean } from './suggest.ts';

export type { Listen } from './kinds.ts';
export type { Origin };
export { ConfigError };

/** What defaults depend on. */
export interface Machine {
  readonly env: NodeJS.ProcessEnv;
  readonly root: boolean;
  readonly home: string;
  readonly hostName: string;
  /** The loopback interface has ::1. */
  readonly ipv6: boolean;
  /** Size in bytes of the file system that `folder` is on, or will be. */
  diskBytes(folder: string): number;
}

export interface Option<T = unknown> {
  readonly kind: kind.Kind<unknown>;
  readonly list: boolean;
  /** In the words a person would write; empty: not set. `state` is the state folder in use. */
  defaults(machine: Machine, state: string): readonly string[];
  /** The default as documents show it. */
  readonly shown: string;
  /** What it sets; one line. */
  readonly help: string;
  /** Why the default is what it is; one line. */
  readonly why: string;
  /** Only carries the type. */
  readonly type?: T;
}

interface Words {
  help: string;
  why: string;
  shown?: string;
  defaults?: (machine: Machine, state: string) => readonly string[] | string;
}

function option<T>(of: kind.Kind<T>, list: boolean, words: Words): Option<never> {
  const given = words.defaults ?? (() => words.shown ?? []);
  return {
    kind: of as kind.Kind<unknown>,
    list,
    help: words.help,
    why: words.why,
    shown: words.shown ?? 'not set',
    defaults: (machine, state) => [given(machine, state)].flat(),
  };
}

const one = <T>(of: kind.Kind<T>, words: Words & { shown: string }): Option<T> =>
  option(of, false, words);
const maybe = <T>(of: kind.Kind<T>, words: Words): Option<T | undefined> =>
  option(of, false, words);
const many = <T>(of: kind.Kind<T>, words: Words): Option<readonly T[]> => option(of, true, words);

const GiB = 1024 ** 3;
const systemState = '/var/lib/debherd';

export const options = {
  aptListen: many(kind.listen, {
    help: 'where apt on this machine connects to; may be repeated',
    why: 'loopback only: other machines have their own daemon',
    shown: '127.0.0.1:3142 and, where the machine has it, [::1]:3142',
    defaults: ({ ipv6 }) => ['127.0.0.1:3142', ...(ipv6 ? ['[::1]:3142'] : [])],
  }),
  peerListen: one(kind.listen, {
    help: 'where other members connect to: TCP for objects, UDP for the DHT',
    why: 'all addresses, as members come from other machines; unused without a fleet key',
    shown: '0.0.0.0:3143',
  }),
  state: one(kind.filePath, {
    help: 'folder of the objects, the catalog and the member list',
    why: "root's daemon keeps it where Debian expects it, a person's where XDG does",
    shown: '/var/lib/debherd for root, else ~/.local/state/debherd',
    defaults: ({ env, root, home }) => {
      const managed = env.STATE_DIRECTORY?.split(':')[0];
      if (managed) return managed;
      if (root) return systemState;
      return path.join(env.XDG_STATE_HOME || path.join(home, '.local/state'), 'debherd');
    },
  }),
  runtime: one(kind.filePath, {
    help: 'folder of the socket that debherd status asks: for this user and its group',
    why: 'one state has one daemon, so its socket is found by it; systemd makes the first folder',
    shown: '/run/debherd for the state /var/lib/debherd, else run in the state folder',
    defaults: (_machine, state) => {
      return state === systemState ? '/run/debherd' : path.join(state, 'run');
    },
  }),
  tracker: many(kind.trackerUrl, {
    help: 'a tracker to announce to; may be repeated',
    why: 'without one the node is a fleet of one',
  }),
  trackerListen: maybe(kind.listen, {
    help: 'host a tracker in this node, on this address',
    why: 'one or two nodes of a fleet do, not all',
  }),
  fleetKeyFile: maybe(kind.filePath, {
    help: 'file with the fleet key, the same on every member',
    why: 'without a key a node talks to no peer',
  }),
  cacheMax: one(kind.bytes, {
    help: 'the store holds at most so many bytes; what was unused for longest goes first',
    why: 'a fleet shares: each disk needs to keep only its part',
    shown: '20GiB, or a tenth of the disk if that is less',
    defaults: ({ diskBytes }, state) => {
      const tenth = Math.floor(diskBytes(state) / 10 / 1024 ** 2);
      return tenth * 1024 ** 2 < 20 * GiB ? `${tenth}MiB` : '20GiB';
    },
  }),
  minFree: one(kind.bytes, {
    help: 'the store leaves at least so many bytes of its disk free',
    why: 'a render that fills the disk must not fail because of the cache',
    shown: '2GiB',
  }),
  nameFreshness: one(kind.duration, {
    help: 'the owner of a volatile name asks upstream for it at most once in this time',
    why: 'a herd comes within seconds; a new upload is seen half a minute later at most',
    shown: '30s',
  }),
  upstream: one(kind.yesNo, {
    help: 'whether this node may be elected to fetch from upstream for others',
    why: 'any machine with a way to the archives shares the work; say no where that way is costly',
    shown: 'yes',
  }),
  upstreamConnections: one(kind.count(1, 64), {
    help: 'connections to one upstream host at a time',
    why: 'enough to hide latency, few enough for a polite client of a public mirror',
    shown: '8',
  }),
  allowHost: many(kind.archiveHost, {
    help: 'upstream host that may be fetched from though it is private; may be repeated',
    why: "the hosts of the machine's own apt sources and public ones are allowed anyway",
  }),
  advertiseAddress: maybe(kind.ipAddress, {
    help: 'address at which other members reach this node',
    why: 'the tracker sees the right one unless there is NAT or more than one network',
    shown: 'what the tracker sees',
    defaults: () => [],
  }),
  name: one(kind.label, {
    help: 'what status pages call this node',
    why: 'people know machines by their host name',
    shown: 'the host name',
    defaults: ({ hostName }) => hostName.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 64) || 'node',
  }),
  aptSources: one(kind.filePath, {
    help: "folder of apt's configuration, with sources.list and keyrings",
    why: "apt's own place",
    shown: '/etc/apt',
  }),
  aptLists: one(kind.filePath, {
    help: 'folder of the indexes that apt keeps; read to save unpacking, and for unknown packages',
    why: "apt's own place",
    shown: '/var/lib/apt/lists',
  }),
  aptArchives: one(kind.filePath, {
    help: 'folder of the packages that apt keeps; they are shared where they lie',
    why: "apt's own place",
    shown: '/var/cache/apt/archives',
  }),
  logLevel: one(kind.oneOf(['debug', 'info', 'warn', 'error', 'silent']), {
    help: 'the least severe messages that go to the log',
    why: 'info tells what an administrator asks for first and nothing per request',
    shown: 'info',
  }),
};

export type ConfigField = keyof typeof options;
type ValueOf<O> = O extends Option<infer T> ? T : never;

/** Effective configuration. Sizes in bytes, durations in milliseconds, absolute paths. */
export type Config = { readonly [F in ConfigField]: ValueOf<(typeof options)[F]> };

/** One value with its origin, as `debherd config` prints it. */
export interface Setup {
  readonly key: string;
  readonly field: ConfigField;
  readonly list: boolean;
  /** As it would be written; empty when not set. */
  readonly texts: readonly string[];
  readonly origin: Origin;
}

export interface LoadedConfig {
  readonly config: Config;
  /** All values, in the order of the table. */
  readonly setups: readonly Setup[];
  /** The TOML file that was read. */
  readonly file: string | undefined;
}

export const configFields = Object.keys(options) as ConfigField[];

/** `cacheMax` is `cache-max` in files and flags. */
export function keyOf(field: ConfigField): string {
  return field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

const fieldOf = new Map(configFields.map((field) => [keyOf(field), field]));
export const configKeys: readonly string[] = [...fieldOf.keys()];
export const defaultConfigFile = '/etc/debherd/debherd.toml';

export interface ConfigSources {
  readonly machine: Machine;
  /** From the command line; a later flag of one key replaces an earlier one, lists grow. */
  readonly flags?: readonly Setting[];
  /** `--config`; else DEBHERD_CONFIG, else the default file where it exists. */
  readonly file?: string;
  /** Defaults that differ from the table's, by field. */
  readonly defaults?: Partial<Record<ConfigField, string>>;
  /** Fields that must be set. */
  readonly required?: readonly ConfigField[];
}

/** Flags over environment over file over defaults, key by key. Throws ConfigError. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const { machine, flags = [] } = sources;
  const named = sources.file ?? (machine.env.DEBHERD_CONFIG || undefined);
  const file = named ?? defaultConfigFile;
  const fromFile = readConfigFile(file);
  if (fromFile === undefined && named !== undefined) {
    const by = sources.file === undefined ? 'DEBHERD_CONFIG' : '--config';
    throw new ConfigError(`there is no configuration file ${named} (${by}); check the path`);
  }
  const { DEBHERD_CONFIG: _, ...env } = machine.env;
  const isList = (key: string) => options[fieldOf.get(key) ?? 'state'].list;
  const settings = new Map<ConfigField, Setting>();
  for (const setting of [...(fromFile ?? []), ...readEnvironment(env, isList), ...flags]) {
    settings.set(knownField(setting), setting);
  }
  const values = new Map<ConfigField, unknown>();
  const setups = ['state' as const, ...configFields.filter((field) => field !== 'state')]
    .map((field) => {
      const setting = settings.get(field) ?? defaultOf(field, sources, values);
      const elements = setting.texts.map((text) => parsed(field, text, setting));
      values.set(field, options[field].list ? elements : elements[0]);
      const texts = elements.map((element) => options[field].kind.show(element));
      const { list } = options[field];
      return { key: keyOf(field), field, list, texts, origin: setting.origin };
    })
    .sort((a, b) => configFields.indexOf(a.field) - configFields.indexOf(b.field));
  const config = Object.fromEntries(values) as unknown as Config;
  checkTogether(config, setups, sources.required ?? []);
  return { config, setups, file: fromFile === undefined ? undefined : file };
}

function defaultOf(
  field: ConfigField,
  { machine, defaults }: ConfigSources,
  values: ReadonlyMap<ConfigField, unknown>,
): Setting {
  const given = defaults?.[field];
  return {
    key: keyOf(field),
    texts:
      given === undefined ? options[field].defaults(machine, String(values.get('state'))) : [given],
    origin: { source: 'default', where: 'default' },
    base: '/',
  };
}

function knownField({ key, texts, origin }: Setting): ConfigField {
  const field = fieldOf.get(key);
  if (field === undefined) {
    const hint = didYouMean(key, configKeys) || '; `debherd config` lists the known keys';
    const name = origin.source === 'environment' ? origin.where : `"${key}"`;
    const place = origin.source === 'environment' ? 'the environment' : origin.where;
    throw new ConfigError(`unknown key ${name} in ${place}${hint}`);
  }
  if (!options[field].list && texts.length !== 1) {
    throw new ConfigError(
      `"${key}" in ${origin.where} takes one value, not a list of ${texts.length}`,
    );
  }
  return field;
}

function parsed(field: ConfigField, text: string, { key, origin, base }: Setting): unknown {
  try {
    if (text.trim() === '') throw new kind.BadValue('it is empty; leave it out for the default');
    return options[field].kind.parse(text, base);
  } catch (error) {
    if (!(error instanceof kind.BadValue)) throw error;
    throw new ConfigError(`bad value "${text}" for ${key} (${origin.where}): ${error.message}`);
  }
}

function checkTogether(
  config: Config,
  setups: readonly Setup[],
  required: readonly ConfigField[],
): void {
  const missing = required.find((field) => config[field] === undefined);
  if (missing !== undefined) {
    const key = keyOf(missing);
    throw new ConfigError(`${key} is not set; give --${key} ${options[missing].kind.placeholder}`);
  }
  const needsKey = (['tracker', 'trackerListen'] as const).find(
    (field) => [config[field] ?? []].flat().length > 0,
  );
  if (needsKey === undefined || config.fleetKeyFile !== undefined) return;
  const where = setups.find(({ field }) => field === needsKey)?.origin.where;
  throw new ConfigError(
    `${keyOf(needsKey)} is set (${where}) but fleet-key-file is not: members need a fleet key; ` +
      `set fleet-key-file, or leave ${keyOf(needsKey)} out`,
  );
}

/** The machine this process runs on. */
export function thisMachine(): Machine {
  const interfaces = Object.values(networkInterfaces()).flat();
  return {
    env: process.env,
    root: process.getuid?.() === 0,
    home: process.env.HOME || userInfo().homedir,
    hostName: hostname(),
    ipv6: interfaces.some((each) => each?.address === '::1'),
    diskBytes: (folder) => {
      for (let at = folder; ; at = path.dirname(at)) {
        try {
          const { blocks, bsize } = statfsSync(at);
          return blocks * bsize;
        } catch {
          // The state folder is made later: look at the nearest one that exists.
          if (at === path.dirname(at)) return Number.POSITIVE_INFINITY;
        }
      }
    },
  };
}
