import { expect, test } from 'vitest';
import { helpText, parseBenchOptions } from '../bench/options.ts';

const benches = { hits: { about: 'cached hits' }, idle: { about: 'nothing' } };
const parse = (line: string) => parseBenchOptions(line.split(' ').filter(Boolean), benches);

test('without flags: all, in a fleet of sixty', () => {
  expect(parse('')).toEqual({
    only: ['hits', 'idle'],
    json: undefined,
    record: undefined,
    repeat: 1,
    fleetNodes: 60,
    idleNodes: 10,
    idleSettleMs: 20_000,
    rounds: 3,
    requests: 25_000,
  });
});

test('flags are read', () => {
  const line = '--only idle --fleet-nodes 8 --idle-nodes 60 --idle-settle 90 --requests 2000';
  const expected = { only: ['idle'], fleetNodes: 8, idleNodes: 60, idleSettleMs: 90_000 };
  expect(parse(line)).toMatchObject({ ...expected, requests: 2_000 });
  expect(parse('--record idle-60 --repeat 3')).toMatchObject({ record: 'idle-60', repeat: 3 });
});

test('--help names every flag and benchmark', () => {
  expect(parse('--help --rounds x')).toBeUndefined();
  const flags = 'only repeat json record fleet-nodes idle-nodes idle-settle rounds requests';
  for (const flag of flags.split(' ')) expect(helpText(benches)).toContain(`  --${flag} `);
  expect(helpText(benches)).toContain('hits       cached hits\n');
});

test.each([
  ['--only hit', "no benchmark 'hit'; there are hits, idle"],
  ['--fleet-nodes 2', '--fleet-nodes takes a number from 3 to 200'],
  ['--idle-nodes sixty', '--idle-nodes takes a number from 2 to 200'],
  ['--idle-settle 0', '--idle-settle takes a number from 1'],
  ['--rounds 1.5', "--rounds takes a number from 1 to 100, not '1.5'"],
  ['--requests 10', '--requests takes a number from 1000'],
  ['--repeat 0', '--repeat takes a number from 1 to 100'],
  ['--record ../idle', "--record takes a name of a-z, 0-9 and -, not '../idle'"],
  ['--record Idle', "not 'Idle'"],
  ['--colour', "Unknown option '--colour'"],
])('%s is refused', (line, words) => {
  expect(() => parse(line)).toThrow(words);
});
