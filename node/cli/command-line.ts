// The verbs, their flags and their help, all from the table in config.ts.
import { parseArgs } from 'node:util';
import { type Setting, variableOf } from '../config/sources.ts';
import { didYouMean } from '../config/suggest.ts';
import {
  ConfigError,
  type ConfigField,
  configFields,
  defaultConfigFile,
  keyOf,
  type LoadedConfig,
  loadConfig,
  type Machine,
  options,
} from '../config/table.ts';

interface Verb {
  /** One line, for the list of verbs. */
  readonly summary: string;
  readonly fields: readonly ConfigField[];
  /** Flags that are shorter here than the key they set. */
  readonly flags?: Partial<Record<ConfigField, string>>;
  readonly defaults?: Partial<Record<ConfigField, string>>;
  readonly required?: readonly ConfigField[];
  /** Flags without a value, with their help. */
  readonly switches?: Readonly<Record<string, string>>;
}

export const verbs = {
  run: { summary: 'run the apt proxy of this machine', fields: configFields },
  tracker: {
    summary: 'run a tracker alone: the place where the members of a fleet meet',
    fields: ['trackerListen', 'fleetKeyFile', 'logLevel'],
    flags: { trackerListen: 'listen' },
    defaults: { trackerListen: '0.0.0.0:3144' },
    required: ['fleetKeyFile'],
  },
  config: {
    summary: 'print the effective configuration and where each value comes from',
    fields: configFields,
    switches: { json: 'for programs' },
  },
  version: { summary: 'print the version', fields: [] },
  help: { summary: 'print this help', fields: [] },
} as const satisfies Record<string, Verb>;

export type VerbName = keyof typeof verbs;
const verbNames = Object.keys(verbs) as VerbName[];

/** The command line cannot be understood. The message is one line. */
export class UsageError extends Error {}

export type Command =
  | { readonly verb: 'run' | 'tracker'; readonly loaded: LoadedConfig }
  | { readonly verb: 'config'; readonly loaded: LoadedConfig; readonly json: boolean }
  | { readonly verb: 'version' }
  | { readonly verb: 'help'; readonly text: string };

/** `argv` without node and script. Throws UsageError and ConfigError. */
export function parseCommandLine(argv: readonly string[], machine: Machine): Command {
  const [word = '', ...rest] = argv;
  if (word === '--version') return { verb: 'version' };
  if (word === '--help' || word === '-h') return { verb: 'help', text: overview() };
  const name = verbNames.find((each) => each === word);
  if (name === undefined) {
    const list = `verbs are ${verbNames.join(', ')}`;
    if (word === '') throw new UsageError(`no verb; ${list}`);
    const hint = didYouMean(word, verbNames) || `; ${list}`;
    throw new UsageError(`unknown ${word.startsWith('-') ? 'flag' : 'verb'} "${word}"${hint}`);
  }
  const verb: Verb = verbs[name];
  const flags = readFlags(name, verb, rest);
  if (flags.on.has('help')) return { verb: 'help', text: helpOf(name, verb) };
  if (name === 'help') return { verb: name, text: overview() };
  if (name === 'version') return { verb: name };
  const loaded = loadConfig({
    machine,
    flags: flags.settings,
    ...(flags.file === undefined ? {} : { file: flags.file }),
    ...(verb.defaults === undefined ? {} : { defaults: verb.defaults }),
    ...(verb.required === undefined ? {} : { required: verb.required }),
  });
  if (name === 'config') return { verb: name, loaded, json: flags.on.has('json') };
  return { verb: name, loaded };
}

/** All flags of a verb, with their dashes. */
export function flagsOf(name: VerbName): string[] {
  const verb: Verb = verbs[name];
  const flags = [...verb.fields.map((field) => flagOf(verb, field)), ...switchesOf(verb)];
  return [...flags, ...(verb.fields.length > 0 ? ['config'] : [])].map((flag) => `--${flag}`);
}

const switchesOf = (verb: Verb): string[] => ['help', ...Object.keys(verb.switches ?? {})];

interface Flags {
  readonly settings: readonly Setting[];
  readonly on: ReadonlySet<string>;
  readonly file: string | undefined;
}

function flagOf(verb: Verb, field: ConfigField): string {
  return verb.flags?.[field] ?? keyOf(field);
}

function readFlags(name: VerbName, verb: Verb, argv: readonly string[]): Flags {
  const fieldOf = new Map(verb.fields.map((field) => [flagOf(verb, field), field]));
  const valued = [...fieldOf.keys(), ...(verb.fields.length > 0 ? ['config'] : [])];
  const switches = switchesOf(verb);
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(valued.map((flag) => [flag, { type: 'string' as const }])),
      ...Object.fromEntries(switches.map((flag) => [flag, { type: 'boolean' as const }])),
      help: { type: 'boolean', short: 'h' },
    },
  });
  const settings = new Map<ConfigField, Setting>();
  const on = new Set<string>();
  let file: string | undefined;
  for (const token of tokens) {
    if (token.kind !== 'option') {
      const word = token.kind === 'positional' ? token.value : '--';
      throw new UsageError(`"${word}" is not expected after ${name}; flags begin with --`);
    }
    const { rawName, value, inlineValue } = token;
    const field = fieldOf.get(token.name);
    if (switches.includes(token.name)) {
      if (value !== undefined) throw new UsageError(`${rawName} takes no value`);
      on.add(token.name);
    } else if (!valued.includes(token.name)) {
      const hint = didYouMean(token.name, [...valued, ...switches], '--');
      const help = hint || `; see debherd ${name} --help`;
      throw new UsageError(`unknown flag ${rawName} for ${name}${help}`);
    } else if (value === undefined || (!inlineValue && value.startsWith('-'))) {
      throw new UsageError(`${rawName} needs a value; see debherd ${name} --help`);
    } else if (field === undefined) {
      file = value;
    } else {
      const before = options[field].list ? (settings.get(field)?.texts ?? []) : [];
      const origin = { source: 'flag' as const, where: rawName };
      const texts = [...before, value];
      settings.set(field, { key: keyOf(field), texts, origin, base: process.cwd() });
    }
  }
  return { settings: [...settings.values()], on, file };
}

function overview(): string {
  const width = Math.max(...verbNames.map((name) => name.length));
  return [
    'debherd: an apt proxy on every machine; what one machine has, the others get from it.',
    '',
    'usage: debherd VERB [FLAGS]',
    '',
    ...verbNames.map((name) => `  ${name.padEnd(width)}  ${verbs[name].summary}`),
    '',
    'debherd VERB --help tells the flags of a verb.',
    '',
  ].join('\n');
}

function helpOf(name: VerbName, verb: Verb): string {
  const lines = [`debherd ${name}: ${verb.summary}`, ''];
  const described = verb.fields.flatMap((field) => {
    const flag = `--${flagOf(verb, field)} ${options[field].kind.placeholder}`;
    const required = verb.required?.includes(field) ?? false;
    const shown = verb.defaults?.[field] ?? options[field].shown;
    return [
      `  ${flag}`,
      `      ${options[field].help}`,
      required ? '      required' : `      default: ${shown} (${options[field].why})`,
    ];
  });
  if (verb.fields.length > 0) {
    lines.push(...described, '  --config FILE', '      TOML file with the same keys');
    lines.push(`      default: ${defaultConfigFile}, where it exists`);
  }
  for (const [flag, help] of Object.entries(verb.switches ?? {})) {
    lines.push(`  --${flag}`, `      ${help}`);
  }
  lines.push('  --help');
  if (verb.fields.length > 0) {
    lines.push(
      '',
      'Each key may also stand in the TOML file or, like cache-max in DEBHERD_CACHE_MAX,',
    );
    lines.push('in the environment. Flags win over the environment, it wins over the file.');
  }
  return `${lines.join('\n')}\n`;
}

/** What `debherd config` prints: TOML that could be used again, each value with its origin. */
export function showConfig({ setups, file }: LoadedConfig): string {
  const lines = setups.map(({ key, list, texts, origin }) => {
    if (texts.length === 0) return { text: `# ${key} is not set`, where: '' };
    const quoted = texts.map((each) => JSON.stringify(each));
    return {
      text: `${key} = ${list ? `[${quoted.join(', ')}]` : quoted[0]}`,
      where: `# ${origin.where}`,
    };
  });
  const width = Math.max(...lines.filter((line) => line.where).map((line) => line.text.length));
  const head = file === undefined ? `# ${defaultConfigFile} does not exist` : `# read ${file}`;
  const body = lines.map(({ text, where }) => (where ? `${text.padEnd(width)}  ${where}` : text));
  return `${[head, ...body].join('\n')}\n`;
}

/** The same for programs: key to value as text (or list of texts, or null) and origin. */
export function configJson({ setups, file }: LoadedConfig): string {
  const values = setups.map(({ key, list, texts, origin }) => {
    const value = list ? texts : (texts[0] ?? null);
    return [key, { value, source: origin.source, where: origin.where }];
  });
  return `${JSON.stringify({ file: file ?? null, values: Object.fromEntries(values) }, null, 2)}\n`;
}

/** The table of the README. */
export function configMarkdown(): string {
  const rows = configFields.map((field) => {
    const { help, why, shown } = options[field];
    return `| \`${keyOf(field)}\` | ${help} | ${shown} | ${why} |`.replaceAll(
      'yes|no',
      'yes or no',
    );
  });
  return ['| key | what it sets | default | why |', '|---|---|---|---|', ...rows].join('\n');
}

/** One line for standard error. */
export function complaint(error: ConfigError | UsageError): string {
  return `debherd: ${error.message}\n`;
}

export { ConfigError, variableOf };
