// The one importer of commander: verbs and their flags, from the table of the configuration.
import { Command, CommanderError, Option } from 'commander';
import type { Setting } from '../config/sources.ts';
import { didYouMean } from '../config/suggest.ts';
import {
  type ConfigField,
  defaultConfigFile,
  keyOf,
  loadConfig,
  type Machine,
  options,
} from '../config/table.ts';
import { config } from './verbs/config.ts';
import { run } from './verbs/run.ts';
import { status } from './verbs/status.ts';
import { tracker } from './verbs/tracker.ts';
import type { Call, Verb } from './verbs/verb.ts';
import { version } from './verbs/version.ts';

export const verbs = { run, status, config, tracker, version } satisfies Record<string, Verb>;

export type VerbName = keyof typeof verbs;
const verbNames = Object.keys(verbs) as VerbName[];

/** The command line cannot be understood. The message is one line. */
export class UsageError extends Error {}

/** What was asked for: a verb with all it needs, or a text to print. */
export type Request =
  | ({ readonly verb: VerbName } & Pick<Call, 'load' | 'on'>)
  | { readonly help: string };

/** `argv` without node and script. Throws UsageError; `load` throws ConfigError. */
export function parseCommandLine(argv: readonly string[], machine: Machine): Request {
  let request: Request = { help: '' };
  let help = '';
  const program = new Command('debherd')
    .description('An apt proxy on every machine; what one machine has, the others get from it.')
    .usage('VERB [FLAGS]')
    .helpOption('-h, --help', 'tell the flags of a verb')
    .helpCommand('help [verb]', 'the same')
    .option('--version', version.summary)
    .configureOutput({ writeOut: (text) => (help += text), writeErr: () => {} })
    .exitOverride()
    .allowExcessArguments()
    .action(({ version: asked }, { args }) => {
      if (!asked) throw noVerb(args[0]);
      request = requestOf('version', {}, machine);
    });
  for (const name of verbNames) {
    const command = program.command(name).description(verbs[name].summary).usage('[FLAGS]');
    command.helpOption('-h, --help', 'this text').configureHelp({ formatItem: below });
    for (const flag of flagsWithHelp(verbs[name])) command.addOption(flag);
    if (verbs[name].fields.length > 0) command.addHelpText('after', precedence);
    command.allowExcessArguments().action((given, { args }) => {
      if (args[0] === undefined) request = requestOf(name, given, machine);
      else throw new UsageError(`"${args[0]}" is not expected after ${name}; flags begin with --`);
    });
  }
  try {
    program.parse(argv, { from: 'user' });
    return request;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { help };
    throw mistake(error, argv);
  }
}

const precedence = `
Each key may also stand in the TOML file or, like cache-max in DEBHERD_CACHE_MAX, in the
environment. Flags win over the environment, it wins over the file.
`;

/** An item of a help text with its description under it, which has no room beside long flags. */
function below(term: string, _width: number, description: string): string {
  return `  ${term}\n${description.replaceAll(/^/gm, '      ')}`;
}

/** All flags of a verb, with their dashes. */
export function flagsOf(name: VerbName): string[] {
  return [...flagsWithHelp(verbs[name]).map(({ long }) => String(long)), '--help'];
}

function flagsWithHelp(verb: Verb): Option[] {
  const keys = verb.fields.map((field) => {
    const { kind, help, shown, why } = options[field];
    const usual = `default: ${verb.defaults?.[field] ?? shown} (${why})`;
    const note = verb.required?.includes(field) ? 'required' : usual;
    return valued(`--${flagOf(verb, field)} <${kind.placeholder}>`, `${help}\n${note}`);
  });
  const file = `TOML file with the same keys\ndefault: ${defaultConfigFile}, where it exists`;
  return [
    ...keys,
    ...(keys.length > 0 ? [valued('--config <FILE>', file)] : []),
    ...Object.entries(verb.switches ?? {}).map(([flag, help]) => new Option(`--${flag}`, help)),
  ];
}

function flagOf(verb: Verb, field: ConfigField): string {
  return verb.flags?.[field] ?? keyOf(field);
}

/** Commander would take the next flag for the value of one that has none. */
function valued(flags: string, help: string): Option {
  const option = new Option(flags, help);
  return option.argParser<string[] | undefined>((text, before = []) => {
    if (!text.startsWith('-')) return [...before, text];
    throw new CommanderError(1, 'commander.optionMissingArgument', `'${option.long}'`);
  });
}

/** `given` has the texts of each flag, by its name in camel case; `true` for a switch. */
function requestOf(
  name: VerbName,
  given: Readonly<Record<string, readonly string[] | true>>,
  machine: Machine,
): Request {
  const verb: Verb = verbs[name];
  const textsOf = (flag: string) => {
    const texts = given[new Option(`--${flag}`).attributeName()];
    return Array.isArray(texts) ? (texts as readonly string[]) : [];
  };
  const flags = verb.fields.flatMap((field): Setting[] => {
    const flag = flagOf(verb, field);
    const texts = options[field].list ? textsOf(flag) : textsOf(flag).slice(-1);
    const origin = { source: 'flag' as const, where: `--${flag}` };
    return texts.length === 0 ? [] : [{ key: keyOf(field), texts, origin, base: process.cwd() }];
  });
  const file = textsOf('config').at(-1);
  const { defaults, required } = verb;
  return {
    verb: name,
    on: new Set(Object.keys(verb.switches ?? {}).filter((each) => given[each] === true)),
    load: () =>
      loadConfig({
        machine,
        flags,
        ...(file === undefined ? {} : { file }),
        ...(defaults === undefined ? {} : { defaults }),
        ...(required === undefined ? {} : { required }),
      }),
  };
}

function noVerb(word: string | undefined): UsageError {
  const list = `verbs are ${verbNames.join(', ')}, help`;
  if (word === undefined) return new UsageError(`no verb; ${list}`);
  return new UsageError(`unknown verb "${word}"${didYouMean(word, verbNames) || `; ${list}`}`);
}

/** Commander's complaint in this program's words; it quotes the word that is wrong. */
function mistake({ code, message }: CommanderError, argv: readonly string[]): UsageError {
  const [, word = ''] = /'([^' ]+)/.exec(message) ?? [];
  const verb = verbNames.find((name) => name === argv[0]);
  const see = verb === undefined ? 'debherd --help' : `debherd ${verb} --help`;
  if (code === 'commander.optionMissingArgument') {
    return new UsageError(`${word} needs a value; see ${see}`);
  }
  if (code !== 'commander.unknownOption') return noVerb(word || argv.at(-1));
  const known = verb === undefined ? ['--version', '--help'] : flagsOf(verb);
  const where = verb === undefined ? '' : ` for ${verb}`;
  return new UsageError(`unknown flag ${word}${where}${didYouMean(word, known) || `; see ${see}`}`);
}
