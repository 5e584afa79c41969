// What a benchmark found: one row of the table each.
import { groupsOf, medianOf, spreadText } from '../record.ts';

export interface Figure {
  readonly bench: string;
  readonly what: string;
  /** null: it could not be had, `note` says why. */
  readonly value: number | null;
  readonly unit: string;
  readonly target?: { readonly max: number } | { readonly min: number };
  readonly note?: string;
}

/** The value at `share` (0 to 1) of unsorted figures. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Rows of benchmark `peer`: until the first byte, and until the whole is there. */
export function timesOf(
  label: string,
  times: readonly { readonly firstByteMs: number; readonly wholeMs: number }[],
  note = `${times.length} objects`,
): Figure[] {
  const row = (what: string, values: readonly number[], share: number): Figure => ({
    ...{ bench: 'peer', what: `${label}: ${what}`, value: quantile(values, share), unit: 'ms' },
    note,
  });
  const first = times.map(({ firstByteMs }) => firstByteMs);
  const whole = times.map(({ wholeMs }) => wholeMs);
  return [
    row('first byte p50', first, 0.5),
    row('first byte p99', first, 0.99),
    row('whole p50', whole, 0.5),
    row('whole p99', whole, 0.99),
  ];
}

/** undefined where nothing was promised. */
export function isMet({ value, target }: Figure): boolean | undefined {
  if (target === undefined) return undefined;
  if (value === null) return false;
  return 'max' in target ? value <= target.max : value >= target.min;
}

export function tableOf(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => [
    figure.bench,
    figure.what,
    figure.value === null ? '-' : numberText(figure.value),
    figure.unit,
    targetText(figure),
    figure.note ?? '',
  ]);
  const widths = [0, 1, 2, 3, 4].map((at) => Math.max(...rows.map((row) => row[at]!.length)));
  const line = (row: string[]) =>
    row
      .map((cell, at) => (at === 2 ? cell.padStart(widths[at]!) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

/** Several runs of benchmarks as a table in Markdown; a target is met by the median. */
export function summaryText(figures: readonly Figure[]): string {
  const rows = groupsOf(figures, ({ bench, what }) => `${bench}\n${what}`).map((runs) => {
    const values = runs.map(({ value }) => value).filter((value) => value !== null);
    const value = values.length === 0 ? null : medianOf(values);
    const { bench, what, unit, ...rest } = runs[0]!;
    const shown = value === null ? '–' : spreadText(values, numberText);
    const notes = [...new Set(runs.map(({ note }) => note).filter(Boolean))].join('; ');
    return [bench, what, shown, unit, targetText({ ...rest, bench, what, unit, value }), notes];
  });
  const head = ['benchmark', 'what', 'measured', 'unit', 'target', 'note'];
  const rule = ['---', '---', '--:', '---', '---', '---'];
  return [head, rule, ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('');
}

function targetText(figure: Figure): string {
  const { target } = figure;
  if (target === undefined) return '';
  const bound = 'max' in target ? `≤ ${target.max}` : `≥ ${target.min}`;
  return `${bound} ${isMet(figure) ? 'met' : 'MISSED'}`;
}

function numberText(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
