import { expect, test } from 'vitest';
import { limitSeconds, type Result } from '../lab/measure.ts';
import { plotSvg } from '../lab/plot.ts';
import { summaryText, tableText } from '../lab/table.ts';

const result: Result = {
  system: 'nginx',
  scenario: 'cold',
  round: 1,
  nodes: 3,
  failedUpdates: 0,
  failedInstalls: 1,
  makespan: 82.84,
  median: 77.8,
  slowest: 82.84,
  finished: [46, 82.84],
  failures: [],
  blames: [],
  upstreamBytes: 48_300_000,
  upstreamRequests: 45,
  upstreamWireBytes: 48_400_000,
  uniqueBytes: 48_300_000,
  uniqueNames: 44,
  wanAmplification: 1,
  limit: 38.6,
  ratio: 2.146,
  sentMax: 2e6,
  sentMean: 1e6,
  serverSent: 387e6,
  cpuMsPerMb: 1.04,
  rssMax: 28e6,
};
const nobody: Result = {
  ...result,
  system: 'direct',
  makespan: null,
  median: null,
  slowest: null,
  ratio: null,
  finished: [],
};

test('the limit is the slower of the WAN and one link', () => {
  expect(limitSeconds(10e6, 10e6, { wan: 10e6, lan: 50e6 })).toBe(8);
  expect(limitSeconds(1e6, 100e6, { wan: 10e6, lan: 50e6 })).toBe(16);
});

test('the table has a line per run, aligned', () => {
  const lines = tableText([result, nobody]).trimEnd().split('\n');
  expect(lines).toHaveLength(4);
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[2]).toMatch(/nginx .* 0 \/ 1 of 3 \| +82\.8 \| +77\.8 \| +38\.6 \| +2\.15 /);
  expect(lines[3]).toMatch(/direct .* – \|/);
});

test('the summary has a line per system: median and spread, and the failures of all runs', () => {
  const slower = { ...result, makespan: 90.2, failedInstalls: 2, upstreamRequests: 44 };
  const between = { ...result, makespan: 85, failedInstalls: 0 };
  const lines = summaryText([result, nobody, slower, between]).trimEnd().split('\n');
  expect(lines).toHaveLength(4);
  expect(lines[2]).toMatch(/nginx .* 0 \/ 3 of 9 \| +85\.0 \(82\.8–90\.2\) \| +77\.8 \| /);
  expect(lines[2]).toContain('45 (44–45) / 44 ');
  expect(lines[3]).toMatch(/direct .* – \|/);
  expect(summaryText([result])).toBe(tableText([result]));
});

test('the plot has a step per machine and says what the axes are', () => {
  const svg = plotSvg('cold <1>', [result, nobody]);
  const nginx = /d="(M[^"]*)" fill="none" stroke="#2b59c3"/.exec(svg)?.[1] ?? '';
  expect(nginx.match(/H/g)).toHaveLength(result.finished.length);
  expect(svg).toContain('seconds since the start');
  expect(svg).toContain('machines finished');
  expect(svg).toContain('82.8 s, 1 failed');
  expect(svg).toContain('nobody finished');
  expect(svg).toContain('cold &lt;1>');
});
