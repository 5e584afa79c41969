// Each rule of the source sees what it must see, and nothing else.
import { expect, it } from 'vitest';
import { deadExports, moduleCircles } from '../tidy/modules.ts';
import * as rules from '../tidy/rules.ts';
import { readSource } from '../tidy/source.ts';

const complaints = (
  rule: (source: ReturnType<typeof readSource>) => string[],
  text: string,
  file = 'node/doors/a.ts',
) => rule(readSource(file, text)).length;

it('long lines', () => {
  expect(complaints(rules.longLines, `// ${'x'.repeat(98)}`)).toBe(1);
  expect(complaints(rules.longLines, `// ${'x'.repeat(97)}`)).toBe(0);
});

it('long functions, but not groups of tests', () => {
  const body = (lines: number) => `{${'\n'.repeat(lines - 1)}}`;
  expect(complaints(rules.longFunctions, `function f() ${body(71)}`)).toBe(1);
  expect(complaints(rules.longFunctions, `function f() ${body(70)}`)).toBe(0);
  expect(complaints(rules.longFunctions, `class A { m() ${body(71)} }`)).toBe(1);
  expect(complaints(rules.longFunctions, `export const f = async () => ${body(71)}`)).toBe(1);
  expect(complaints(rules.longFunctions, `describe('a', () => ${body(71)});`)).toBe(0);
  expect(complaints(rules.longFunctions, `it('a', () => ${body(71)});`)).toBe(1);
  const suite = `export function storeContract() { it('a', () => ${body(71)}); }`;
  expect(complaints(rules.longFunctions, suite, 'test/contract/store.contract.ts')).toBe(1);
  expect(complaints(rules.longFunctions, suite)).toBe(2);
});

it('words of what is left to do', () => {
  expect(rules.unfinished('a.md', `ok\n${'TO'}${'DO'} later`)).toHaveLength(1);
  expect(rules.unfinished('a.md', 'a todo list')).toEqual([]);
});

it.each([
  'const t = Date.now();',
  'const now = Date.now;',
  'const t = new Date();',
  'setTimeout(f, 1);',
  'globalThis.setInterval(f, 1);',
  'await new Promise(setImmediate);',
  'const { a } = { a: performance.now() };',
  'AbortSignal.timeout(3);',
  'Math.random();',
  'process.hrtime.bigint();',
  "import { randomBytes } from 'node:crypto';",
  "import { setTimeout } from 'node:timers/promises';",
])('time and chance: %s', (text) => {
  expect(complaints(rules.timeAndChance, text)).toBeGreaterThan(0);
  expect(complaints(rules.timeAndChance, text, 'node/platform/a.ts')).toBe(0);
  expect(complaints(rules.timeAndChance, text, 'test/unit/a.test.ts')).toBe(0);
});

it.each([
  '// Date.now()',
  "const s = 'Math.random()';",
  'new Date(0);',
  'socket.setTimeout(3);',
  'clock.nowMs();',
  'const o = { setTimeout: 1 };',
  "import { createHash } from 'node:crypto';",
])('neither time nor chance: %s', (text) => {
  expect(complaints(rules.timeAndChance, text)).toBe(0);
});

it('decoders that throw', () => {
  const text = "const f = decodeURIComponent; decodeURI('%');";
  expect(complaints(rules.throwingDecoders, text)).toBe(2);
  expect(complaints(rules.throwingDecoders, text, 'node/apt/percent-encoding.ts')).toBe(0);
  expect(complaints(rules.throwingDecoders, text, 'test/unit/a.test.ts')).toBe(0);
  expect(complaints(rules.throwingDecoders, 'a.decodeURI(); encodeURIComponent(b);')).toBe(0);
});

it.each([
  ['node/content/a.ts', '../apt/b.ts', 1],
  ['node/content/a.ts', '../platform/clock.ts', 0],
  ['node/apt/a.ts', '../store/store.ts', 1],
  ['node/store/a.ts', '../delivery/delivery.ts', 1],
  ['node/store/a.ts', '../apt/b.ts', 0],
  ['node/delivery/a.ts', '../store/store.ts', 0],
  ['node/delivery/a.ts', '../store/file-store.ts', 1],
  ['node/delivery/a.ts', '../transfer/undici-upstream.ts', 1],
  ['node/delivery/a.ts', '../doors/apt-door.ts', 1],
  ['node/delivery/a.ts', '../../tracker/client.ts', 0],
  ['node/delivery/a.ts', '../../tracker/server.ts', 1],
  ['node/status/a.ts', '../doors/apt-door.ts', 1],
  ['node/store/file-store.ts', './eviction.ts', 0],
  ['node/fleet/tracker-fleet.ts', '../../tracker/client.ts', 0],
  ['node/fleet/tracker-fleet.ts', '../../tracker/server.ts', 1],
  ['tracker/server.ts', '../node/platform/clock.ts', 0],
  ['tracker/server.ts', '../node/delivery/delivery.ts', 1],
  ['node/node.ts', './store/file-store.ts', 0],
  ['node/config/table.ts', '../node.ts', 1],
  ['node/catalog/a.ts', '../fleet/fleet.ts', 1],
  ['node/transfer/peer/a.ts', '../peers.ts', 0],
  ['node/fetch/a.ts', '../transfer/peer/http-peers.ts', 1],
  ['tracker/a.ts', '../node/metrics/counters.ts', 1],
  ['tracker/a.ts', '../node/errors.ts', 0],
  ['node/nowhere/a.ts', './b.ts', 1],
])('layers: %s imports %s', (file, specifier, expected) => {
  expect(complaints(rules.importLayers, `import '${specifier}';`, file)).toBe(expected);
  expect(complaints(rules.importLayers, `import type { A } from '${specifier}';`, file)).toBe(
    expected,
  );
  expect(complaints(rules.importLayers, `export * from '${specifier}';`, file)).toBe(expected);
  expect(complaints(rules.importLayers, `await import('${specifier}');`, file)).toBe(expected);
});

it('several importers of one package', () => {
  const use = (file: string, name: string) => readSource(file, `import '${name}';`);
  const twice = (...names: [string, string]) => [
    use('node/a.ts', names[0]),
    use('tracker/b.ts', names[1]),
  ];
  expect(rules.onePackageOneImporter(twice('undici', 'undici/types'))).toHaveLength(1);
  expect(rules.onePackageOneImporter(twice('@a/b', '@a/b'))).toHaveLength(1);
  expect(rules.onePackageOneImporter(twice('@a/b', '@a/c'))).toEqual([]);
  expect(rules.onePackageOneImporter(twice('node:fs', 'node:fs'))).toEqual([]);
  expect(rules.onePackageOneImporter([use('node/a.ts', 'x'), use('test/b.ts', 'x')])).toEqual([]);
});

it('circles of modules', () => {
  const chain = (...files: [string, string][]) =>
    moduleCircles(files.map(([file, text]) => readSource(file, text)));
  const last = "import { c } from 'undici'; import './d.ts';";
  expect(chain(['node/a.ts', "import './b.ts';"], ['node/b.ts', last])).toEqual([]);
  const back = "import type { A } from '../node/a.ts';";
  expect(
    chain(
      ['node/a.ts', "export * from './b.ts';"],
      ['node/b.ts', "import('../tracker/c.ts');"],
      ['tracker/c.ts', back],
    ),
  ).toEqual(['a circle: node/a.ts > node/b.ts > tracker/c.ts > node/a.ts']);
  expect(chain(['node/a.ts', "import './b.ts'; import './a.ts';"])).toHaveLength(1);
  expect(chain(['test/a.ts', "import './b.ts';"], ['test/b.ts', "import './a.ts';"])).toEqual([]);
});

it.each([
  ['export const a = 1;', '', 1],
  ['export function a() {}', "import './a.ts';", 1],
  ['export class A {}', "import { b } from './a.ts';", 1],
  ['export const a = 1, b = 2;', "import { b } from './a.ts';", 1],
  ['export const a = 1;', "import { a as b } from './a.ts';", 0],
  ['export const a = 1;', "export { a } from './a.ts';", 0],
  ['export const a = 1;', "import * as all from './a.ts';", 0],
  ['export const a = 1;', "await import('./a.ts');", 0],
  ['export const a = 1; export const b = a;', "import { b } from './a.ts';", 0],
  ['export interface A {} export type B = A;', '', 0],
  ['export const fake = 1;', '', 0],
])('dead exports: %s, %s', (text, other, expected) => {
  const sources = [readSource('node/a.ts', text), readSource('node/b.ts', other)];
  expect(deadExports(sources, / fake$/)).toHaveLength(expected);
});

it('dead exports: what tests import', () => {
  const test = readSource('test/unit/a.test.ts', "import { a } from '../../node/a.ts';");
  const source = readSource('node/a.ts', 'export const a = 1;');
  expect(deadExports([source, test], / fake$/)).toHaveLength(1);
  expect(deadExports([source, test], /node\/a\.ts /)).toEqual([]);
});

it.each([
  ['f(config.one)', ['one']],
  ['f(this.site.config.one)', ['one']],
  ['const { one, two: x } = config;', ['one', 'two']],
  ['const { config: { one } } = site;', ['one']],
  ['function f({ one, two = 1 }: Config) {}', ['one', 'two']],
  ['f(member.name); const { state } = flight; config[key]; g({ tracker: 1 });', []],
  ['function f({ one }: ConfigFile) {}', []],
  ['// config.one', []],
])('keys of the configuration that %s reads', (text, expected) => {
  expect([...rules.configReads(readSource('node/a.ts', text))]).toEqual(expected);
});

it.each([
  ["counters.add('a.b')", ['a.b']],
  ["this.#deps.counters.add('a.b', 3)", ['a.b']],
  ["counters.add(sent ? 'a.b' : 'a.c')", ['a.b', 'a.c']],
  [`counters.add(\`a.\${way}\`)`, ['a.*']],
  ["counters.add(of(x)); function of(y) { if (y) return 'a.b'; return 'a.c'; }", ['a.b', 'a.c']],
  ["const way = x ? 'a.b' : 'a.c'; counters.add(way);", ['a.b', 'a.c']],
  ["counters.add(name); counters.get('a.b'); names.add('a.c'); f('a.d');", []],
])('counters that %s counts', (text, expected) => {
  expect([...rules.countedNames(readSource('node/a.ts', text))]).toEqual(expected);
});

it('hosts and folders of the machine', () => {
  const configuration =
    'deb [x=y] http://Proxy.corp.test/debian a b\nURIs: https://u:p@apt.corp.test:80/\n' +
    'deb http://archive.ubuntu.com/ubuntu a b\nhttp://127.0.0.1:3142/';
  const hosts = rules.privateHosts(configuration);
  expect(hosts).toEqual(['proxy.corp.test', 'apt.corp.test']);
  expect(rules.machineTraces('a', 'see http://APT.corp.test/x', hosts)).toHaveLength(1);
  expect(rules.machineTraces('a', 'see myapt.corp.test', hosts)).toEqual([]);
  expect(rules.machineTraces('a', 'cd /srv/clone/node', ['/srv/clone'])).toHaveLength(1);
  expect(rules.machineTraces('a', 'cd /srv/clones', ['/srv/clone'])).toEqual([]);
});

it.each([
  ['`npm run tset`', 1],
  ['`npm test` and `npm ci`; npm brings it', 0],
  ['    debherd rnu', 1],
  ['`debherd run --stat x`', 1],
  ['`debherd run --state x`, then --other', 0],
  ['sudo debherd run --state=x', 0],
  ['the daemon debherd runs', 0],
])('commands in documents: %s', (text, expected) => {
  const known = { scripts: ['test'], verbs: ['run'], flagsOf: () => ['--state'] };
  expect(rules.typedCommands('a.md', text, known)).toHaveLength(expected);
});
