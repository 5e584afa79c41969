// Objects from another member: how soon the first byte and the whole are here, and what it costs.
import type { Daemon } from '../fixtures/daemon.ts';
import { benchFleet, type Fetched, fetchVia } from './bench-fleet.ts';
import { type Figure, quantile, timesOf } from './figures.ts';
import { ObjectServer, type ServedObject } from './object-server.ts';
import { cpuMsOf } from './process-cost.ts';
import type { SharedFleet } from './shared-fleet.ts';
import { smallObjects } from './small-objects.ts';

const bench = 'peer';
const SIZES = [
  { label: '10 MB', bytes: 10_000_000, count: 20 },
  { label: '100 MB', bytes: 100_000_000, count: 4 },
];

export async function fromPeers(large: SharedFleet): Promise<Figure[]> {
  const figures = await largeObjects();
  // Last, so that the large fleet does not run beside the others.
  return [...figures, ...(await smallObjects(await large.get()))];
}

async function largeObjects(): Promise<Figure[]> {
  const upstream = await ObjectServer.start();
  try {
    return [...(await pair(upstream)), ...(await relays(upstream))];
  } finally {
    await upstream.close();
  }
}

/** One has it, the other wants it, one object after the other. */
async function pair(upstream: ObjectServer): Promise<Figure[]> {
  const fleet = await benchFleet({ nodes: 2, allowHost: upstream.host });
  try {
    const [holder, taker] = fleet.daemons as [Daemon, Daemon];
    const figures: Figure[] = [];
    await fetchEach(holder, taker, addMany(upstream, 60_000, 30));
    for (const { label, bytes, count } of SIZES) {
      const objects = addMany(upstream, bytes, count);
      for (const { url } of objects) await fetchVia(holder, url, bytes);
      const cpuBefore = cpuMsOf(fleet.pids);
      const times: Fetched[] = [];
      for (const { url } of objects) times.push(await fetchVia(taker, url, bytes));
      const cpuMs = cpuMsOf(fleet.pids) - cpuBefore;
      figures.push(...timesOf(`${label}, one of 2`, times));
      const megabytes = (bytes * count) / 1e6;
      const unit = 'ms/MB';
      figures.push({
        bench,
        what: `${label}, one of 2: CPU of both`,
        value: cpuMs / megabytes,
        unit,
      });
    }
    return figures;
  } finally {
    await fleet.close();
  }
}

async function fetchEach(holder: Daemon, taker: Daemon, objects: readonly ServedObject[]) {
  for (const { url, bytes } of objects) {
    await fetchVia(holder, url, bytes);
    await fetchVia(taker, url, bytes);
  }
}

function addMany(upstream: ObjectServer, bytes: number, count: number): ServedObject[] {
  return Array.from({ length: count }, () => upstream.add(bytes));
}

const RELAY_BYTES = 100_000_000;

/** Three want one object that nobody has, all at once: fetched, relayed, stored, given to apt. */
async function relays(upstream: ObjectServer): Promise<Figure[]> {
  const fleet = await benchFleet({ nodes: 3, allowHost: upstream.host });
  try {
    const costs: number[] = [];
    const seconds: number[] = [];
    for (let round = 0; round < 4; round++) {
      const { url, bytes } = upstream.add(RELAY_BYTES);
      const cpuBefore = cpuMsOf(fleet.pids);
      const got = await Promise.all(fleet.daemons.map((daemon) => fetchVia(daemon, url, bytes)));
      // The first round compiles.
      if (round === 0) continue;
      costs.push((cpuMsOf(fleet.pids) - cpuBefore) / ((bytes * fleet.daemons.length) / 1e6));
      seconds.push(Math.max(...got.map(({ wholeMs }) => wholeMs)) / 1_000);
    }
    const what = 'relaying, 3 at once, 100 MB';
    return [
      {
        bench,
        what: `${what}: CPU per MB received`,
        value: quantile(costs, 0.5),
        unit: 'ms/MB',
        target: { max: 12 },
      },
      { bench, what: `${what}: slowest`, value: quantile(seconds, 0.5), unit: 's' },
    ];
  } finally {
    await fleet.close();
  }
}
