// How long a fleet takes to be sure that nobody has an object: from the GET to upstream's door.
import { benchFleet, fetchVia } from './bench-fleet.ts';
import { type Figure, quantile } from './figures.ts';
import { ObjectServer } from './object-server.ts';

export interface DecisionOptions {
  readonly nodes: number;
  readonly objects: number;
}

export async function decision({ nodes, objects }: DecisionOptions): Promise<Figure[]> {
  const upstream = await ObjectServer.start();
  const fleet = await benchFleet({ nodes, allowHost: upstream.host });
  try {
    const times: number[] = [];
    let requests = 0;
    const warmUp = 50;
    for (let index = 0; index < objects + warmUp; index++) {
      const { url, digest, bytes } = upstream.add(5_000);
      const daemon = fleet.daemons[index % nodes]!;
      const { sentAtMs } = await fetchVia(daemon, url, bytes);
      const arrivals = upstream.arrivals.get(digest) ?? [];
      if (index < warmUp) continue;
      times.push((arrivals[0] ?? Number.NaN) - sentAtMs);
      requests += arrivals.length;
    }
    const bench = 'decision';
    const what = `nobody of ${nodes} has it`;
    return [
      { bench, what: `${what}: p50`, value: quantile(times, 0.5), unit: 'ms' },
      {
        bench,
        what: `${what}: p99`,
        value: quantile(times, 0.99),
        unit: 'ms',
        target: { max: 30 },
      },
      {
        bench,
        what: `${what}: upstream requests per object`,
        value: requests / objects,
        unit: '',
        target: { max: 1.02 },
      },
    ];
  } finally {
    await fleet.close();
    await upstream.close();
  }
}
