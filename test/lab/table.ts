// Results as a table for a terminal (and for Markdown, which it also is).
import type { Result } from './measure.ts';

const columns: readonly [string, (result: Result) => string][] = [
  ['system', (r) => r.system],
  ['failed update/install', (r) => `${r.failedUpdates} / ${r.failedInstalls} of ${r.nodes}`],
  ['makespan s', (r) => fixed(r.makespan, 1)],
  ['median s', (r) => fixed(r.median, 1)],
  ['limit s', (r) => fixed(r.limit, 1)],
  ['× limit', (r) => fixed(r.ratio, 2)],
  ['upstream MB', (r) => fixed(r.upstreamBytes / 1e6, 1)],
  ['requests/names', (r) => `${r.upstreamRequests} / ${r.uniqueNames}`],
  ['WAN ampl.', (r) => fixed(r.wanAmplification, 3)],
  ['sent MB max (mean)', (r) => `${fixed(r.sentMax / 1e6, 0)} (${fixed(r.sentMean / 1e6, 0)})`],
  ['server MB', (r) => fixed(r.serverSent / 1e6, 0)],
  ['CPU ms/MB', (r) => fixed(r.cpuMsPerMb, 1)],
  ['RSS MB', (r) => fixed(r.rssMax / 1e6, 0)],
];

export function tableText(results: readonly Result[]): string {
  const rows = [columns.map(([title]) => title)];
  for (const result of results) rows.push(columns.map(([, cell]) => cell(result)));
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => pad(cell, widths[i] ?? 0, i === 0)).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => ruleOf(width, i === 0)).join('|')}|`;
  return `${[line(rows[0] ?? []), rule, ...rows.slice(1).map(line)].join('\n')}\n`;
}

function fixed(value: number | null, digits: number): string {
  return value === null ? '–' : value.toFixed(digits);
}

function pad(text: string, width: number, left: boolean): string {
  return left ? text.padEnd(width) : text.padStart(width);
}

function ruleOf(width: number, left: boolean): string {
  return left ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`;
}
