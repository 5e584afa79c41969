import { expect, test } from 'vitest';
import { parseHerdOptions, UsageError } from '../lab/options.ts';

const systems = ['debherd', 'apt-cacher-ng', 'nginx'];
const parse = (...args: string[]) => parseHerdOptions(args, systems, ['cold', 'warm']);

test('rates, sizes and lists are read', () => {
  const args = '--nodes 8 --lan 1gbit --wan 2.5mbit --systems nginx,nginx --object-size 500kb';
  expect(parse(...args.split(' '))).toMatchObject({
    verb: 'run',
    nodes: 8,
    lan: 1e9,
    wan: 2.5e6,
    systems: ['nginx'],
    objectSize: 500_000,
    scenario: 'cold',
    repeat: 1,
  });
});

test('a results file has a plain name, with a plot or without', () => {
  expect(parse().record).toBeUndefined();
  const both = parse('--record', 'cold-60', '--plot', 'cold.svg');
  expect(both).toMatchObject({ record: 'cold-60', plot: 'cold.svg' });
});

test('verbs', () => {
  expect(parse('cleanup').verb).toBe('cleanup');
  expect(parse('--help').verb).toBe('help');
});

test.each([
  ['--nodes', '1', '--nodes 1: a whole number from 2 to 500 is needed'],
  ['--nodes', '8.5', 'whole number'],
  ['--lan', '50', '--lan 50: a rate like 50mbit or 1gbit is needed'],
  ['--wan', '1kbit', '--wan 1kbit'],
  ['--systems', 'nginx,nix', '--systems nix: there are debherd, apt-cacher-ng, nginx'],
  ['--systems', ',', 'names no system'],
  ['--scenario', 'hot', '--scenario hot: there are cold, warm'],
  ['--package', '../x', 'not a package name'],
  ['--object-size', '3tb', '--object-size 3tb'],
  ['--record', 'Cold', '--record Cold: a name of a-z, 0-9 and - is needed'],
  ['--record', '../cold', '--record ../cold'],
  ['--record', '', 'a name of a-z'],
  ['--colour', 'red', "Unknown option '--colour'"],
  ['fly', '', 'unknown verb fly'],
])('%s %s is refused in one line', (flag, value, words) => {
  let caught: unknown;
  try {
    parse(flag, value);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(UsageError);
  expect((caught as Error).message).toContain(words);
  expect((caught as Error).message).not.toContain('\n');
});
