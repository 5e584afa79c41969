// Configuration: where values come from, how they are written, and what a mistake is told.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, expectTypeOf, it } from 'vitest';
import {
  type Config,
  type ConfigSources,
  configFields,
  type Listen,
  loadConfig,
  type Machine,
  options,
} from '../../node/config/table.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'debherd-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const empty = path.join(folder, 'empty.toml');
writeFileSync(empty, '');

function machine(env: NodeJS.ProcessEnv = {}, other: Partial<Machine> = {}): Machine {
  const disk = { diskBytes: () => 1e12 };
  return { env, root: false, home: '/home/ann', hostName: 'ann-1', ipv6: true, ...disk, ...other };
}

function toml(text: string): string {
  const file = path.join(folder, 'debherd.toml');
  writeFileSync(file, text);
  return file;
}

function flag(key: string, ...texts: string[]) {
  return { key, texts, origin: { source: 'flag' as const, where: `--${key}` }, base: '/work' };
}

function load(sources: Partial<ConfigSources> = {}) {
  return loadConfig({ machine: machine(), file: empty, ...sources });
}

function errorOf(sources: Partial<ConfigSources>): string {
  try {
    load(sources);
  } catch (error) {
    expect((error as Error).constructor.name).toBe('ConfigError');
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  }
  throw new Error('no error');
}

const errorIn = (text: string) => errorOf({ file: toml(text) });

describe('defaults', () => {
  it('suit a person', () => {
    expect(load().config).toEqual({
      aptListen: [
        { host: '127.0.0.1', port: 3142 },
        { host: '::1', port: 3142 },
      ],
      peerListen: { host: '0.0.0.0', port: 3143 },
      state: '/home/ann/.local/state/debherd',
      runtime: '/home/ann/.local/state/debherd/run',
      tracker: [],
      trackerListen: undefined,
      fleetKeyFile: undefined,
      cacheMax: 20 * 1024 ** 3,
      minFree: 2 * 1024 ** 3,
      nameFreshness: 30_000,
      upstream: true,
      upstreamConnections: 8,
      allowHost: [],
      advertiseAddress: undefined,
      name: 'ann-1',
      aptSources: '/etc/apt',
      aptLists: '/var/lib/apt/lists',
      aptArchives: '/var/cache/apt/archives',
      logLevel: 'info',
    });
  });

  it('suit the system', () => {
    const root = load({ machine: machine({}, { root: true, ipv6: false, diskBytes: () => 5e9 }) });
    expect(root.config.state).toBe('/var/lib/debherd');
    expect(root.config.runtime).toBe('/run/debherd');
    expect(root.config.aptListen).toEqual([{ host: '127.0.0.1', port: 3142 }]);
    expect(root.config.cacheMax).toBe(476 * 1024 ** 2);
    expect(load({ machine: machine({ XDG_STATE_HOME: '/x' }) }).config.state).toBe('/x/debherd');
    expect(load({ machine: machine({ STATE_DIRECTORY: '/s' }) }).config.state).toBe('/s');
  });

  it('give each state a socket of its own, for whoever asks', () => {
    const runtime = (root: boolean, state: string) =>
      load({ machine: machine({}, { root }), flags: [flag('state', state)] }).config.runtime;
    expect(runtime(true, '/srv/herd')).toBe('/srv/herd/run');
    expect(runtime(false, '/var/lib/debherd')).toBe('/run/debherd');
  });

  it('ask for the size of the disk that the state is on', () => {
    const asked: string[] = [];
    const diskBytes = (at: string) => asked.push(at) + 1e9;
    load({ machine: machine({}, { diskBytes }), flags: [flag('state', '/big')] });
    expect(asked).toEqual(['/big']);
  });

  it('have types', () => {
    expectTypeOf<Config['trackerListen']>().toEqualTypeOf<Listen | undefined>();
    expectTypeOf<Config['aptListen']>().toEqualTypeOf<readonly Listen[]>();
    expectTypeOf<Config['cacheMax']>().toEqualTypeOf<number>();
    expectTypeOf<Config['logLevel']>().toEqualTypeOf<
      'debug' | 'info' | 'warn' | 'error' | 'silent'
    >();
  });

  it.each(configFields)('%s has words', (field) => {
    expect(options[field].help).toMatch(/^[a-z].*[^.]$/);
    expect(options[field].why.length).toBeGreaterThan(10);
  });
});

describe('sources', () => {
  it('rise from file to environment to flags, each with its origin', () => {
    const file = toml('state = "a"\nname = "file"\ncache-max = "1GiB"\nmin-free = "1MiB"\n');
    const env = { DEBHERD_NAME: 'env', DEBHERD_CACHE_MAX: '2GiB' };
    const loaded = load({ file, machine: machine(env), flags: [flag('cache-max', '3GiB')] });
    const { config } = loaded;
    expect([config.state, config.name, config.cacheMax]).toEqual([
      `${folder}/a`,
      'env',
      3 * 2 ** 30,
    ]);
    const origin = Object.fromEntries(loaded.setups.map((each) => [each.key, each.origin.where]));
    expect(origin).toMatchObject({
      state: `${file} line 1`,
      name: 'DEBHERD_NAME',
      'cache-max': '--cache-max',
      'min-free': `${file} line 4`,
      'log-level': 'default',
    });
    expect(loaded.setups.map(({ field }) => field)).toEqual(configFields);
  });

  it('take lists as arrays, with spaces or commas, or repeated', () => {
    const file = toml('apt-listen = ["127.0.0.1:1", "[::1]:2"]\n');
    expect(load({ file }).config.aptListen).toEqual([
      { host: '127.0.0.1', port: 1 },
      { host: '::1', port: 2 },
    ]);
    const env = machine({ DEBHERD_ALLOW_HOST: 'a.example, B.example:80  c.example' });
    const { config } = load({ machine: env });
    expect(config.allowHost).toEqual(['a.example', 'b.example:80', 'c.example']);
    const flags = [flag('allow-host', 'x.example', 'y.example')];
    expect(load({ machine: env, flags }).config.allowHost).toEqual(['x.example', 'y.example']);
  });

  it('take numbers and booleans as TOML has them', () => {
    const { config } = load({ file: toml('upstream = false\nupstream-connections = 3\n') });
    expect([config.upstream, config.upstreamConnections]).toEqual([false, 3]);
  });

  it('take an empty variable as not set', () => {
    expect(load({ machine: machine({ DEBHERD_NAME: '' }) }).config.name).toBe('ann-1');
  });

  it('take the file from DEBHERD_CONFIG', () => {
    const env = machine({ DEBHERD_CONFIG: toml('name = "by-file"\n') });
    const { config, file } = loadConfig({ machine: env });
    expect([config.name, file]).toEqual(['by-file', env.env.DEBHERD_CONFIG]);
  });
});

describe('mistakes', () => {
  it.each([
    ['cach-max = "1GiB"', /^unknown key "cach-max" in .* line 1; did you mean "cache-max"\?$/],
    ['\n\ncache_max = "1GiB"', /^unknown key "cache_max" in .* line 3; did you mean "cache-max"/],
    ['zebra = 1', /^unknown key "zebra" in .* line 1; `debherd config` lists/],
    ['state = ', /line 1, column 9 is not TOML: .*; write lines like/],
    ['name = "a"\nname = "b"', /line 2, column .* is not TOML/],
    ['name = ["a", "b"]', /"name" in .* line 1 takes one value, not a list of 2/],
    ['[node]\nname = "a"', /"node" in .* line 1 is no plain value; write node = "…"/],
    ['name = ""', /bad value "" for name \(.* line 1\): it is empty/],
    ['cache-max = "20"', /bad value "20" for cache-max .*with its unit, like 20GiB/],
    ['cache-max = "20XB"', /there is no unit "XB"/],
    ['cache-max = "big"', /write a size, like/],
    ['name-freshness = "30"', /write a time with its unit/],
    ['peer-listen = "3143"', /write an address and a port, like 127\.0\.0\.1:3143/],
    ['peer-listen = "0.0.0.0:70000"', /"70000" is not a port; ports are 0 to 65535/],
    ['peer-listen = "0.0.0.0:"', /"" is not a port/],
    ['peer-listen = "1.2.3:4"', /"1\.2\.3" is neither an IP address nor a host name/],
    ['peer-listen = "::1:3143"', /write IPv6 in brackets, like \[::1\]:3143/],
    ['upstream = "maybe"', /write yes or no/],
    ['upstream-connections = 0', /write a whole number from 1 to 64/],
    ['advertise-address = "here"', /write an IP address without a port/],
    ['log-level = "loud"', /write one of debug, info, warn, error, silent/],
    ['tracker = "http://t.example:3144"', /speaks https only; write it like/],
    ['tracker = "t.example"', /it is not a URL/],
    ['tracker = "https://t.example/x"', /has no path/],
    ['tracker = "https://ann@t.example"', /is not a host|has no path/],
    ['tracker = "https://t.example"', /fleet-key-file is not: members need a fleet key/],
    ['allow-host = "http://a.example"', /write a host, like mirror\.example/],
    ['name = "a b"', /a name has 1 to 64 letters/],
  ])('%s', (text, message) => {
    expect(errorIn(text)).toMatch(message);
  });

  it('in the environment name the variable', () => {
    expect(errorOf({ machine: machine({ DEBHERD_CACH_MAX: '1' }) })).toBe(
      'unknown key DEBHERD_CACH_MAX in the environment; did you mean "cache-max"?',
    );
    expect(errorOf({ machine: machine({ DEBHERD_MIN_FREE: 'x' }) })).toMatch(
      /\(DEBHERD_MIN_FREE\)/,
    );
  });

  it('in a flag name the flag', () => {
    expect(errorOf({ flags: [flag('min-free', 'x')] })).toMatch(/for min-free \(--min-free\): /);
  });

  it('of a missing or unreadable file name it', () => {
    expect(errorOf({ file: '/no/such.toml' })).toMatch(/no configuration file \/no\/such\.toml/);
    expect(errorOf({ file: folder })).toMatch(/cannot read .* \(EISDIR\); check the path/);
  });
});

it('tracker URLs are normal: https, lower case, port 3144 unless given', () => {
  const file = toml(
    'fleet-key-file = "/k"\ntracker = ["https://T.example", "https://[::1]:1/", "https://a:443"]',
  );
  expect(load({ file }).config.tracker).toEqual([
    'https://t.example:3144',
    'https://[::1]:1',
    'https://a:443',
  ]);
});

it.each([
  ['20GiB', '20GiB'],
  ['20G', '20GiB'],
  ['1500000001B', '1500000001B'],
  ['1.5 TiB', '1536GiB'],
  ['500MB', '500MB'],
  ['512k', '512KiB'],
  ['0B', '0B'],
])('size %s is shown as %s', (text, shown) => {
  const { setups } = load({ flags: [flag('cache-max', text)] });
  expect(setups.find(({ key }) => key === 'cache-max')?.texts).toEqual([shown]);
});
