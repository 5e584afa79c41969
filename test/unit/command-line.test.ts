// Verbs and flags, from argv to a command or a complaint of one line.
import { parse } from 'smol-toml';
import { expect, it } from 'vitest';
import { parseCommandLine, verbs } from '../../node/cli/command-line.ts';
import { configJson, showConfig } from '../../node/cli/verbs/config.ts';
import { configKeys, type LoadedConfig, type Machine } from '../../node/config/table.ts';

const machine: Machine = {
  env: {},
  root: true,
  home: '/root',
  hostName: 'node-1',
  ipv6: false,
  diskBytes: () => 1e12,
};

const command = (...argv: string[]) => parseCommandLine(argv, machine);

function loadedBy(...argv: string[]): LoadedConfig {
  const got = command(...argv);
  if ('help' in got) throw new Error(`${argv.join(' ')} gives help`);
  return got.load();
}

function helpBy(...argv: string[]): string {
  const got = command(...argv);
  return 'help' in got ? got.help : '';
}

it('run takes flags, with a space or an equals sign, lists by repetition', () => {
  const { config } = loadedBy(
    ...['run', '--state=/s', '--apt-listen', '127.0.0.1:1', '--apt-listen=[::1]:2'],
    ...['--min-free', '1GiB', '--min-free', '3GiB'],
  );
  expect(config).toMatchObject({
    state: '/s',
    aptListen: [
      { host: '127.0.0.1', port: 1 },
      { host: '::1', port: 2 },
    ],
    minFree: 3 * 2 ** 30,
  });
});

it('tracker has its own short flag and default', () => {
  const key = ['--fleet-key-file', '/k'];
  expect(loadedBy('tracker', ...key).config.trackerListen).toEqual({ host: '0.0.0.0', port: 3144 });
  expect(loadedBy('tracker', '--listen', '127.0.0.1:9', ...key).config.trackerListen?.port).toBe(9);
});

it.each([
  [[], 'no verb; verbs are run, status, config, tracker, version, help'],
  [['rnu'], 'unknown verb "rnu"; did you mean "run"?'],
  [['help', 'rnu'], 'unknown verb "rnu"; did you mean "run"?'],
  [['--versoin'], 'unknown flag --versoin; did you mean "--version"?'],
  [['-x'], 'unknown flag -x; see debherd --help'],
  [['run', '--cach-max', '1GiB'], 'unknown flag --cach-max for run; did you mean "--cache-max"?'],
  [['run', '--json'], 'unknown flag --json for run; see debherd run --help'],
  [['run', '-x'], 'unknown flag -x for run; see debherd run --help'],
  [['run', '--state'], '--state needs a value; see debherd run --help'],
  [['run', '--state', '--name'], '--state needs a value; see debherd run --help'],
  [['run', '--state='], 'bad value "" for state (--state): it is empty'],
  [['run', '--help=1'], 'unknown flag --help=1 for run; did you mean "--help"?'],
  [['run', 'now'], '"now" is not expected after run; flags begin with --'],
  [['version', '--', 'now'], '"now" is not expected after version; flags begin with --'],
  [['config', '--json=yes'], 'unknown flag --json=yes for config'],
  [['tracker'], 'fleet-key-file is not set; give --fleet-key-file PATH'],
  [
    ['run', '--config', '/no.toml'],
    'there is no configuration file /no.toml (--config); check the path',
  ],
])('%j is told: %s', (argv, message) => {
  expect(() => loadedBy(...argv)).toThrow(message);
});

it('version needs no configuration, nor does help', () => {
  for (const argv of [['version'], ['--version']]) {
    expect(command(...argv)).toMatchObject({ verb: 'version' });
  }
  expect(helpBy('run', '--config', '/no.toml', '--help')).toContain('Usage: debherd run');
});

it('switches are told from flags with values', () => {
  expect(command('status', '--watch', '--state', '/s')).toMatchObject({ on: new Set(['watch']) });
});

it.each(Object.entries(verbs))('%s has help', (verb, { summary }) => {
  for (const argv of [
    [verb, '--help'],
    [verb, '-h'],
    ['help', verb],
  ]) {
    expect(helpBy(...argv)).toMatch(new RegExp(`^Usage: debherd ${verb} .*\n\n${summary}\n`));
  }
  expect(helpBy('--help').replaceAll(/\s+/g, ' ')).toContain(`${summary} `);
});

it('help of run names every key', () => {
  const text = helpBy('run', '--help');
  expect(configKeys.filter((key) => !text.includes(`\n  --${key} `))).toEqual([]);
});

it('config prints TOML that means the same', () => {
  const text = showConfig(loadedBy('config', '--name', 'a', '--allow-host', 'x.example'));
  expect(text).toMatch(/^name = "a" +# --name$/m);
  expect(text).toMatch(/^log-level = "info" +# default$/m);
  expect(text).toContain('# tracker-listen is not set');
  expect(parse(text)).toMatchObject({
    name: 'a',
    'allow-host': ['x.example'],
    state: '/var/lib/debherd',
  });
});

it('config --json tells value and origin', () => {
  const { values } = JSON.parse(configJson(loadedBy('config', '--json', '--name', 'a')));
  expect(values.name).toEqual({ value: 'a', source: 'flag', where: '--name' });
  expect(values['tracker-listen'].value).toBeNull();
  expect(values['apt-listen'].value).toEqual(['127.0.0.1:3142']);
  expect(Object.keys(values)).toEqual(configKeys);
});
