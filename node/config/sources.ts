// Where settings come from: a TOML file, the environment, flags. Text only, no meaning yet.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, TomlError } from 'smol-toml';

export interface Origin {
  readonly source: 'default' | 'file' | 'environment' | 'flag';
  /** For people: `/etc/debherd/debherd.toml line 3`, `DEBHERD_STATE`, `--state`. */
  readonly where: string;
}

/** One key as one source sets it. */
export interface Setting {
  /** As in a file: `cache-max`. */
  readonly key: string;
  /** One element, or several for a key that may be repeated. */
  readonly texts: readonly string[];
  readonly origin: Origin;
  /** Relative paths start here. */
  readonly base: string;
}

/** The configuration cannot be used. The message is one line that says why and how to mend it. */
export class ConfigError extends Error {}

/** The settings of the TOML file `file`; `undefined` when it does not exist. Throws ConfigError. */
export function readConfigFile(file: string): Setting[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return undefined;
    const mend =
      code === 'EACCES' ? 'make it readable for the user that runs debherd' : 'check the path';
    throw new ConfigError(`cannot read the configuration file ${file} (${code}); ${mend}`);
  }
  return Object.entries(parseToml(text, file)).map(([key, value]) => {
    const where = `${file} line ${lineOf(text, key)}`;
    return {
      key,
      texts: textsOf(key, value, where),
      origin: { source: 'file', where },
      base: path.dirname(path.resolve(file)),
    };
  });
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '');
    const place = `${file} line ${error.line}, column ${error.column}`;
    throw new ConfigError(`${place} is not TOML: ${reason}; write lines like cache-max = "20GiB"`);
  }
}

/** The parser keeps no positions of keys; top-level keys and tables are found by their line. */
function lineOf(text: string, key: string): number {
  const name = key.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const start = new RegExp(`^\\s*\\[*\\s*["']?${name}["']?\\s*[=.\\]]`);
  return text.split('\n').findIndex((line) => start.test(line)) + 1;
}

function textsOf(key: string, value: unknown, where: string): string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.map((each: unknown) => {
    if (typeof each === 'string') return each;
    if (typeof each === 'number') return String(each);
    if (typeof each === 'boolean') return each ? 'yes' : 'no';
    throw new ConfigError(
      `"${key}" in ${where} is no plain value; write ${key} = "…", outside any [table]`,
    );
  });
}

const prefix = 'DEBHERD_';

/** `DEBHERD_CACHE_MAX` becomes `cache-max`. An empty variable counts as not set. */
export function readEnvironment(
  env: NodeJS.ProcessEnv,
  isList: (key: string) => boolean,
): Setting[] {
  return Object.entries(env)
    .filter(([variable, text]) => variable.startsWith(prefix) && text?.trim())
    .map(([variable, text = '']) => {
      const key = variable.slice(prefix.length).toLowerCase().replaceAll('_', '-');
      return {
        key,
        texts: isList(key) ? text.split(/[\s,]+/).filter((each) => each !== '') : [text.trim()],
        origin: { source: 'environment', where: variable },
        base: process.cwd(),
      };
    });
}
