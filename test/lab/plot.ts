// A drawing for people: time against machines finished, one curve a system.
import type { Result } from './measure.ts';

const size = { width: 840, height: 480 };
const area = { left: 64, right: 170, top: 48, bottom: 56 };
const colours: Readonly<Record<string, string>> = {
  debherd: '#0b6e4f',
  'apt-cacher-ng': '#c1440e',
  nginx: '#2b59c3',
  squid: '#8a4fbf',
  direct: '#6b7280',
};

/** SVG text; runs of one system after the first are drawn thinner. */
export function plotSvg(title: string, results: readonly Result[]): string {
  const nodes = Math.max(1, ...results.map((each) => each.nodes));
  const timeMax = niceMax(Math.max(1, ...results.map((each) => each.makespan ?? 0)));
  const x = (time: number) => area.left + (time / timeMax) * (size.width - area.left - area.right);
  const y = (count: number) =>
    size.height - area.bottom - (count / nodes) * (size.height - area.top - area.bottom);
  const parts = [
    ...axes(timeMax, nodes, x, y),
    ...limitLine(results, x, y, nodes),
    ...results.map((each) => curve(each, x, y)),
    ...legend(results),
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}"
 font-family="system-ui, sans-serif" font-size="13" fill="#1f2937" role="img">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="${area.left}" y="26" font-size="15" font-weight="600">${escaped(title)}</text>
${parts.join('\n')}
</svg>
`;
}

type Scale = (value: number) => number;

function axes(timeMax: number, nodes: number, x: Scale, y: Scale): string[] {
  const parts: string[] = [];
  const bottom = y(0);
  for (const tick of ticks(timeMax)) {
    parts.push(rule(x(tick), y(nodes), x(tick), bottom, '#e5e7eb'));
    parts.push(label(x(tick), bottom + 18, 'middle', String(tick)));
  }
  for (const tick of ticks(nodes)) {
    parts.push(rule(x(0), y(tick), x(timeMax), y(tick), '#e5e7eb'));
    parts.push(label(x(0) - 8, y(tick) + 4, 'end', String(tick)));
  }
  parts.push(rule(x(0), bottom, x(timeMax), bottom, '#1f2937'));
  parts.push(rule(x(0), y(nodes), x(0), bottom, '#1f2937'));
  parts.push(label((x(0) + x(timeMax)) / 2, bottom + 42, 'middle', 'seconds since the start'));
  const middle = (y(0) + y(nodes)) / 2;
  parts.push(
    `<text transform="translate(20 ${num(middle)}) rotate(-90)" text-anchor="middle">` +
      'machines finished</text>',
  );
  return parts;
}

function limitLine(results: readonly Result[], x: Scale, y: Scale, nodes: number): string[] {
  const limit = Math.max(0, ...results.map((each) => each.limit));
  if (limit === 0) return [];
  return [
    `<path d="M${num(x(limit))} ${num(y(0))}V${num(y(nodes))}" stroke="#9ca3af"` +
      ' stroke-dasharray="4 4" fill="none"/>',
    label(x(limit) + 5, y(nodes) - 5, 'start', `limit of the links ${limit.toFixed(1)} s`),
  ];
}

function curve(result: Result, x: Scale, y: Scale): string {
  const steps = result.finished.map((time, i) => `H${num(x(time))}V${num(y(i + 1))}`);
  const width = result.round === 1 ? 2.5 : 1;
  return (
    `<path d="M${num(x(0))} ${num(y(0))}${steps.join('')}" fill="none"` +
    ` stroke="${colourOf(result.system)}" stroke-width="${width}"/>`
  );
}

function legend(results: readonly Result[]): string[] {
  const left = size.width - area.right + 16;
  const firsts = results.filter((each) => each.round === 1);
  return firsts.flatMap((each, i) => {
    const top = area.top + 16 + i * 40;
    const failures = each.failedUpdates + each.failedInstalls;
    const time = each.makespan === null ? 'nobody finished' : `${each.makespan.toFixed(1)} s`;
    const failed = failures > 0 ? `, ${failures} failed` : '';
    return [
      `<path d="M${left} ${top - 4}h22" stroke="${colourOf(each.system)}" stroke-width="3"/>`,
      label(left + 28, top, 'start', each.system),
      label(left + 28, top + 16, 'start', `${time}${failed}`),
    ];
  });
}

function rule(x1: number, y1: number, x2: number, y2: number, colour: string): string {
  return `<path d="M${num(x1)} ${num(y1)}L${num(x2)} ${num(y2)}" stroke="${colour}"/>`;
}

function label(x: number, y: number, anchor: string, text: string): string {
  return `<text x="${num(x)}" y="${num(y)}" text-anchor="${anchor}">${escaped(text)}</text>`;
}

function colourOf(system: string): string {
  return colours[system] ?? '#111827';
}

/** 1, 2 or 5 times a power of ten, so that about six steps fit. */
function stepFor(max: number): number {
  const rough = max / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((each) => each * power >= rough) ?? 10;
  return Math.max(1, factor * power);
}

function niceMax(max: number): number {
  return Math.ceil(max / stepFor(max)) * stepFor(max);
}

function ticks(max: number): number[] {
  const step = stepFor(max);
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
}

function num(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;');
}
