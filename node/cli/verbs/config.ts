// `debherd config`: what is set, and by whom.
import { configFields, defaultConfigFile, type LoadedConfig } from '../../config/table.ts';
import type { Verb } from './verb.ts';

export const config: Verb = {
  summary: 'print the effective configuration and where each value comes from',
  fields: configFields,
  switches: { json: 'for programs' },
  async perform({ load, on }) {
    process.stdout.write(on.has('json') ? configJson(load()) : showConfig(load()));
    return 0;
  },
};

/** TOML that could be used again, each value with its origin. */
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
