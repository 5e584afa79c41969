// The status report on one screen, for a person with ten seconds.
import type { MemberReport, StatusReport } from '../doors/status/report.ts';

type Flight = StatusReport['flights'][number];

/** Label and lines of each part; parts without lines are left out. */
export function statusText(report: StatusReport): string {
  const parts: readonly (readonly [label: string, lines: readonly string[]])[] = [
    ['node', [nodeLine(report)]],
    ['members', [membersLine(report.members)]],
    ['trackers', trackerLines(report)],
    ['store', [storeLine(report)]],
    ['to apt', toAptLines(report)],
    ['upstream', [upstreamLine(report)]],
    ['transfers', transferLines(report)],
    ['avoided', avoidedLines(report)],
    ['stale names', staleLines(report)],
  ];
  const width = Math.max(...parts.map(([label]) => label.length));
  const text = parts.flatMap(([label, lines]) =>
    lines.map((line, index) => `${(index === 0 ? label : '').padEnd(width)}  ${line}`),
  );
  return `${text.map(harmless).join('\n')}\n`;
}

/** `text` over what stood on the screen before, cut to its size. */
export function redrawn(
  text: string,
  { columns = 80, rows = 24 }: { readonly columns?: number; readonly rows?: number },
): string {
  const home = '\x1b[H';
  const eraseRight = '\x1b[K';
  const eraseBelow = '\x1b[J';
  const lines = text.split('\n').slice(0, rows - 1);
  return home + lines.map((line) => line.slice(0, columns) + eraseRight).join('\n') + eraseBelow;
}

function nodeLine({ name, version, role, startedAtMs, nowMs, memory }: StatusReport): string {
  const up = `up ${time(nowMs - startedAtMs)}`;
  return [name, `debherd ${version}`, role, up, `${size(memory.rss)} of memory`].join(', ');
}

function membersLine(members: readonly MemberReport[]): string {
  const versions = new Set(members.map(({ version }) => version));
  const mixed = versions.size > 1 ? `, with versions ${[...versions].sort().join(' and ')}` : '';
  return `${count(members.length)}${mixed}`;
}

function trackerLines({ trackers }: StatusReport): string[] {
  if (trackers.length === 0) return [];
  const away = trackers.filter(({ connected }) => !connected).map(({ url }) => url);
  const connected = `${trackers.length - away.length} of ${trackers.length} connected`;
  return [away.length === 0 ? connected : `${connected}; not ${away.join(', ')}`];
}

function storeLine({ objects, bytes, bytesMax }: StatusReport): string {
  const used = `${size(bytes)} of ${size(bytesMax)} (${percent(bytes, bytesMax)})`;
  return `${used} in ${count(objects)} objects`;
}

function toAptLines({ counters }: StatusReport): string[] {
  const sources = [
    ['peers', counters['apt.bytes.peer']],
    ['upstream', counters['apt.bytes.upstream']],
    ['store', counters['apt.bytes.local']],
    ['shared transfers', counters['apt.bytes.flight']],
  ] as const;
  const all = sources.reduce((sum, [, bytes]) => sum + bytes, 0);
  const requests = `${count(counters['apt.requests'])} requests`;
  const errors = `${count(counters['apt.errors'])} errors`;
  const shares = sources.map(([from, bytes]) => [`from ${from}`, size(bytes), percent(bytes, all)]);
  return [`${size(all)}, ${requests}, ${errors}`, ...(all > 0 ? aligned(shares, 1) : [])];
}

function upstreamLine({ counters, wanAmplification }: StatusReport): string {
  const { 'upstream.requests.elected': elected, 'upstream.requests.unelected': alone } = counters;
  const fetched =
    counters['received.bytes.upstream.elected'] + counters['received.bytes.upstream.unelected'];
  const times =
    wanAmplification === null ? '' : `, WAN amplification ${wanAmplification.toFixed(2)}`;
  return `${size(fetched)}, ${count(elected + alone)} requests${times}`;
}

function transferLines({ flights, nowMs }: StatusReport): string[] {
  if (flights.length === 0) return ['none'];
  const rows = flights.map((flight) => [
    fileOf(flight.url),
    sourceOf(flight),
    flight.size === undefined ? size(flight.bytes) : percent(flight.bytes, flight.size),
    `${size((flight.bytes * 1000) / Math.max(1, nowMs - flight.startedAtMs))}/s`,
  ]);
  return aligned(rows, 2);
}

/** Rows as columns: the first `texts` of them begin at the left, the others end at the right. */
function aligned(rows: readonly (readonly string[])[], texts: number): string[] {
  const widthOf = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      return column < texts ? cell.padEnd(widthOf(column)) : cell.padStart(widthOf(column));
    });
    return cells.join('  ');
  });
}

function sourceOf({ source, sourceKind }: Flight): string {
  return sourceKind === 'none' ? 'no source yet' : source;
}

function avoidedLines({ blames, nowMs }: StatusReport): string[] {
  return blames
    .filter(({ untilMs }) => untilMs > nowMs)
    .map(
      ({ name, fault, detail, untilMs }) =>
        `${name} for ${time(untilMs - nowMs)} more: ${fault}, ${detail}`,
    );
}

function staleLines({ volatile }: StatusReport): string[] {
  return volatile
    .filter(({ stale }) => stale)
    .map(({ url, ageMs }) => `${url}, ${time(ageMs)} old`);
}

function fileOf(url: string): string {
  return url.slice(url.lastIndexOf('/') + 1) || url;
}

const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];

/** Decimal, as apt and the status page write it. */
function size(bytes: number): string {
  const power = Math.min(Math.max(0, Math.floor(Math.log10(bytes || 1) / 3)), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** Never more than 100 %, and that only for all of it. */
function percent(part: number, whole: number): string {
  return `${whole > 0 ? Math.min(100, Math.floor((100 * part) / whole)) : 0} %`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function time(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${(seconds / 86_400).toFixed(1)} days`;
}

/** Names and URLs come from other machines: none may write a terminal's escape sequence. */
function harmless(line: string): string {
  return line.replaceAll(/\p{Cc}/gu, '?');
}
