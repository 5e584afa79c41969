// Results as a table for a terminal (and for Markdown, which it also is).
import { groupsOf, spreadText } from '../record.ts';
import type { Result } from './measure.ts';

type Runs = readonly Result[];

/** Of one run a cell has its value, of several their median, least and most. */
const columns: readonly [string, (runs: Runs) => string][] = [
  ['system', ([first]) => first?.system ?? ''],
  ['failed update/install', failedText],
  ['makespan s', (runs) => fixed(runs, 1, (r) => r.makespan)],
  ['median s', (runs) => fixed(runs, 1, (r) => r.median)],
  ['limit s', (runs) => fixed(runs, 1, (r) => r.limit)],
  ['× limit', (runs) => fixed(runs, 2, (r) => r.ratio)],
  ['upstream MB', (runs) => fixed(runs, 1, (r) => r.upstreamBytes / 1e6)],
  ['requests/names', requestsText],
  ['WAN ampl.', (runs) => fixed(runs, 3, (r) => r.wanAmplification)],
  ['sent MB max', (runs) => fixed(runs, 0, (r) => r.sentMax / 1e6)],
  ['sent MB mean', (runs) => fixed(runs, 0, (r) => r.sentMean / 1e6)],
  ['server MB', (runs) => fixed(runs, 0, (r) => r.serverSent / 1e6)],
  ['CPU ms/MB', (runs) => fixed(runs, 1, (r) => r.cpuMsPerMb)],
  ['RSS MB', (runs) => fixed(runs, 0, (r) => r.rssMax / 1e6)],
];

/** A line a run. */
export function tableText(results: Runs): string {
  return linesOf(results.map((result) => [result]));
}

/** A line a system. */
export function summaryText(results: Runs): string {
  return linesOf(groupsOf(results, ({ system }) => system));
}

function linesOf(groups: readonly Runs[]): string {
  const rows = [columns.map(([title]) => title)];
  for (const runs of groups) rows.push(columns.map(([, cell]) => cell(runs)));
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => pad(cell, widths[i] ?? 0, i === 0)).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => ruleOf(width, i === 0)).join('|')}|`;
  return `${[line(rows[0] ?? []), rule, ...rows.slice(1).map(line)].join('\n')}\n`;
}

/** Of all runs together: a median would hide the one run in which machines failed. */
function failedText(runs: Runs): string {
  const sum = (of: (result: Result) => number) => runs.reduce((all, each) => all + of(each), 0);
  const [updates, installs] = [sum((r) => r.failedUpdates), sum((r) => r.failedInstalls)];
  return `${updates} / ${installs} of ${sum((r) => r.nodes)}`;
}

function requestsText(runs: Runs): string {
  const asked = fixed(runs, 0, (r) => r.upstreamRequests);
  return `${asked} / ${fixed(runs, 0, (r) => r.uniqueNames)}`;
}

function fixed(runs: Runs, digits: number, of: (result: Result) => number | null): string {
  const values = runs.map(of).filter((value) => value !== null);
  return values.length === 0 ? '–' : spreadText(values, (value) => value.toFixed(digits));
}

function pad(text: string, width: number, left: boolean): string {
  return left ? text.padEnd(width) : text.padStart(width);
}

function ruleOf(width: number, left: boolean): string {
  return left ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`;
}
