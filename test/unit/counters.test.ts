import { describe, expect, it } from 'vitest';
import { type CounterName, Counters, counterNames, counters } from '../../node/metrics/counters.ts';

describe('each counter', () => {
  it.each(Object.entries(counters))('%s says what it counts', (name, { help, unit }) => {
    // So that a dot may become an underscore, and nothing else has to change for Prometheus.
    expect(name).toMatch(/^[a-z]+(\.[a-z]+)+$/);
    expect(help).toMatch(/^[A-Z][^\n.]*[A-Za-z\d]$/);
    expect(name.includes('bytes')).toBe(unit === 'bytes');
  });
});

it('begins at nothing, adds up, and is listed in order', () => {
  const some = new Counters();
  some.add('apt.requests');
  some.add('apt.bytes.local', 10);
  some.add('apt.bytes.local', 5);
  const all = some.all();
  expect(Object.keys(all)).toEqual(counterNames);
  const counted = Object.entries(all).filter(([, amount]) => amount !== 0);
  expect(counted).toEqual([
    ['apt.bytes.local', 15],
    ['apt.requests', 1],
  ] satisfies [CounterName, number][]);
});
