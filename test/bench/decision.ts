// How long a fleet takes to be sure that nobody has an object: from the GET to upstream's door.
import { fetchVia } from './bench-fleet.ts';
import { type Figure, quantile } from './figures.ts';
import type { LargeFleet } from './shared-fleet.ts';

export interface DecisionOptions {
  readonly objects: number;
}

export async function decision(
  { fleet, upstream }: LargeFleet,
  { objects }: DecisionOptions,
): Promise<Figure[]> {
  const nodes = fleet.daemons.length;
  const times: number[] = [];
  let requests = 0;
  const warmUp = Math.max(50, 2 * nodes);
  for (let index = 0; index < objects + warmUp; index++) {
    const { url, digest, bytes } = upstream.add(5_000);
    const daemon = fleet.daemons[index % nodes]!;
    const { sentAtMs } = await fetchVia(daemon, url, bytes);
    const arrivals = upstream.arrivals.get(digest) ?? [];
    if (index < warmUp) continue;
    times.push((arrivals[0] ?? Number.NaN) - sentAtMs);
    requests += arrivals.length;
  }
  const row = (what: string, value: number, unit: string, max?: number): Figure => ({
    ...{ bench: 'decision', what: `nobody of ${nodes} has it: ${what}`, value, unit },
    ...(max === undefined ? {} : { target: { max } }),
  });
  return [
    row('p50', quantile(times, 0.5), 'ms'),
    row('p99', quantile(times, 0.99), 'ms', 30),
    row('upstream requests per object', requests / objects, '', 1.02),
  ];
}
