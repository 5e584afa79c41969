// What a daemon costs while nobody asks it for anything: alone, and as a member.
import { setTimeout as sleep } from 'node:timers/promises';
import { benchFleet } from './bench-fleet.ts';
import { type Figure, median } from './figures.ts';
import { cpuMsOf, rssMibOf, sleepsOf } from './process-cost.ts';

export interface IdleOptions {
  readonly nodes: number;
  readonly objects: number;
  readonly windowMs: number;
  /** After the start, before the window. */
  readonly settleMs: number;
}

const bench = 'idle';

export async function idleCost(options: IdleOptions): Promise<Figure[]> {
  return [...(await observe(1, true, options)), ...(await observe(options.nodes, false, options))];
}

async function observe(nodes: number, solo: boolean, options: IdleOptions): Promise<Figure[]> {
  const { objects, windowMs, settleMs } = options;
  const fleet = await benchFleet({ nodes, solo, stored: objects, allowHost: 'mirror.example' });
  try {
    await sleep(settleMs);
    const before = fleet.pids.map((pid) => ({ cpu: cpuMsOf([pid]), sleeps: sleepsOf(pid) }));
    await sleep(windowMs);
    const seconds = windowMs / 1_000;
    const cpu = fleet.pids.map((pid, at) => (cpuMsOf([pid]) - before[at]!.cpu) / seconds / 10);
    const sleeps = fleet.pids.map((pid, at) => (sleepsOf(pid) - before[at]!.sleeps) / seconds);
    const rss = fleet.pids.map(rssMibOf);
    // The first one hosts the tracker: the others are what most machines are.
    const members = (values: number[]) => (solo ? values : values.slice(1));
    const mean = (values: number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
    const who = solo ? 'alone' : `fleet of ${nodes}`;
    const what = `${who}, ${objects} objects`;
    const figures: Figure[] = [
      {
        bench,
        what: `${what}: RSS, median`,
        value: median(members(rss)),
        unit: 'MiB',
        target: { max: 110 },
      },
      {
        bench,
        what: `${what}: CPU, mean`,
        value: mean(members(cpu)),
        unit: '% of a core',
        target: { max: 0.3 },
      },
      { bench, what: `${what}: wake-ups, mean`, value: mean(members(sleeps)), unit: '1/s' },
    ];
    if (solo) return figures;
    return [
      ...figures,
      { bench, what: `${what}: RSS with the tracker`, value: rss[0] ?? null, unit: 'MiB' },
      { bench, what: `${what}: CPU with the tracker`, value: cpu[0] ?? null, unit: '% of a core' },
    ];
  } finally {
    await fleet.close();
  }
}
