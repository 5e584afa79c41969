// The style guide as a test over the source itself. Its rules are tested in tidy-rules.test.ts.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { flagsOf, type VerbName, verbs } from '../../node/cli/command-line.ts';
import { configFields } from '../../node/config/table.ts';
import { counterNames } from '../../node/metrics/counters.ts';
import about from '../../package.json' with { type: 'json' };
import { configurationText } from '../tidy/configuration.ts';
import { deadExports, moduleCircles } from '../tidy/modules.ts';
import * as rules from '../tidy/rules.ts';
import { readSource } from '../tidy/source.ts';

const root = path.join(import.meta.dirname, '../..');

/** What git has, or will have: works in a fresh clone and before a commit. */
const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root });
const files = String(listed).split('\n').filter(Boolean);
const read = (file: string) => readFileSync(path.join(root, file), 'utf8');
const present = files.filter((file) => {
  try {
    return read(file) !== '';
  } catch {
    // Deleted but not yet committed, or a link to a folder.
    return false;
  }
});
const sources = present
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readSource(file, read(file)));
const texts = present.filter((file) => !/(^package-lock\.json|\.(png|gz|xz|deb|gpg))$/.test(file));
const shipped = sources.filter(({ path: file }) => /^(node|tracker)\//.test(file));

it('finds the source', () => {
  expect(shipped.length).toBeGreaterThan(15);
  expect(texts).toContain('package.json');
});

it.each([
  ['lines fit in 100 columns', rules.longLines],
  ['functions fit on a screen', rules.longFunctions],
  ['time and chance are injected', rules.timeAndChance],
  ['escapes are read without throwing', rules.throwingDecoders],
  ['imports run down', rules.importLayers],
] as const)('%s', (_, rule) => {
  expect(sources.flatMap(rule)).toEqual([]);
});

it('a package has one importer', () => {
  expect(rules.onePackageOneImporter(sources)).toEqual([]);
});

it('no modules import each other in a circle', () => {
  expect(moduleCircles(sources)).toEqual([]);
});

it('nothing is exported for tests alone', () => {
  // Implementations in memory, stand-ins for platform, and what documents are checked against.
  const standIns = /\/memory-\w+\.ts | (noGarbage|seededRandom|flagsOf)$/;
  expect(deadExports(sources, standIns)).toEqual([]);
});

it('nothing is left for later in a comment', () => {
  expect(texts.flatMap((file) => rules.unfinished(file, read(file)))).toEqual([]);
});

describe('every key of the configuration is read', () => {
  const readers = shipped.filter(({ path: file }) => !file.startsWith('node/config/'));
  const read = readers.flatMap((source) => [...rules.configReads(source)]);
  it.each(configFields)('%s', (field) => {
    expect(read).toContain(field);
  });
});

describe('every counter is counted', () => {
  const counted = shipped.flatMap((source) => [...rules.countedNames(source)]);
  it.each(counterNames)('%s', (name) => {
    const withWord = name.replace(/\.[a-z]+$/, '.*');
    expect(counted.some((each) => each === name || each === withWord)).toBe(true);
  });

  it('nothing else is', () => {
    const names: readonly string[] = counterNames;
    const known = [...names, ...names.map((name) => name.replace(/\.[a-z]+$/, '.*'))];
    expect(counted.filter((name) => !known.includes(name))).toEqual([]);
  });
});

it('nothing tells of the machine it was written on', () => {
  const secrets = [...rules.privateHosts(machineConfiguration()), ...machineFolders()];
  expect(texts.flatMap((file) => rules.machineTraces(file, read(file), secrets))).toEqual([]);
});

function machineConfiguration(): string {
  const apt = '/etc/apt';
  const lists = readdirSync(path.join(apt, 'sources.list.d'), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(apt, 'sources.list.d', entry.name));
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { cwd: root, stdio: 'pipe' });
  const aptTexts = [path.join(apt, 'sources.list'), ...lists].map((file) => {
    try {
      return readFileSync(file, 'utf8');
    } catch {
      return '';
    }
  });
  return [...aptTexts, String(registry)].join('\n');
}

/** The clone's folder, unless it is so short that it means nothing. */
function machineFolders(): string[] {
  return root.split('/').length > 2 ? [root] : [];
}

describe('documents', () => {
  const known = {
    scripts: Object.keys(about.scripts),
    verbs: [...Object.keys(verbs), 'help'],
    flagsOf: (verb: string) => flagsOf(verb as VerbName),
  };

  it.each(['README.md', 'HACKING.md', 'ARCHITECTURE.md', 'deploy/CONFIGURATION.md'])(
    '%s names only commands that exist',
    (file) => {
      expect(rules.typedCommands(file, read(file), known)).toEqual([]);
    },
  );

  // Made anew by `node test/tidy/configuration.ts`, on the shell that HACKING.md tells of.
  it('deploy/CONFIGURATION.md is made from the table of keys', () => {
    expect(read('deploy/CONFIGURATION.md')).toBe(configurationText());
  });

  it.each(present.filter((file) => file.endsWith('.md')))('%s links to what exists', (file) => {
    const links = [...read(file).matchAll(/\]\(([^)#:\s]+)/g)].map(([, to = '']) => to);
    const broken = links.filter((to) => !existsSync(path.join(root, path.dirname(file), to)));
    expect(broken).toEqual([]);
  });

  it('HACKING names every script', () => {
    const missing = known.scripts.filter(
      (script) => !new RegExp(`npm (run )?${script}\\b`).test(read('HACKING.md')),
    );
    expect(missing).toEqual([]);
  });
});
