// What a daemon costs while nobody asks it for anything: alone, and as a member.
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CounterName } from '../../node/metrics/counters.ts';
import type { Daemon } from '../fixtures/daemon.ts';
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

interface Phase {
  readonly name: string;
  readonly solo?: boolean;
  /** Another entry point than the product's. */
  readonly main?: string;
  /** Where most machines are most of the time, and what was promised for it. */
  readonly promised: boolean;
}

const announcedDaemon = fileURLToPath(new URL('announced-daemon.js', import.meta.url));

export async function idleCost(options: IdleOptions): Promise<Figure[]> {
  const fleet = `fleet of ${options.nodes}`;
  const phases: Phase[] = [
    { name: 'alone', solo: true, promised: true },
    { name: `${fleet}, announcing its stores`, promised: false },
    { name: `${fleet}, settled`, main: announcedDaemon, promised: true },
  ];
  const figures: Figure[] = [];
  for (const phase of phases) figures.push(...(await observe(phase, options)));
  return figures;
}

async function observe(phase: Phase, options: IdleOptions): Promise<Figure[]> {
  const { nodes, objects: stored, windowMs, settleMs } = options;
  const { solo = false, main } = phase;
  const more = { solo, ...(main === undefined ? {} : { main }) };
  const fleet = await benchFleet({
    ...{ nodes: solo ? 1 : nodes, stored, allowHost: 'mirror.example' },
    ...more,
  });
  try {
    await sleep(settleMs);
    // Asked outside of the time in which the daemons' work is measured.
    const counted = await countsOf(fleet.daemons);
    const before = costsOf(fleet.pids);
    await sleep(windowMs);
    const after = costsOf(fleet.pids);
    const counts = await countsOf(fleet.daemons);
    const seconds = windowMs / 1_000;
    const each = counts.map((count, at) => ({
      rss: after[at]!.rss,
      cpu: (after[at]!.cpuMs - before[at]!.cpuMs) / seconds / 10,
      wakeUps: (after[at]!.sleeps - before[at]!.sleeps) / seconds,
      messages: messagesBetween(counted[at]!, count, seconds),
    }));
    return figuresOf(phase, stored, each);
  } finally {
    await fleet.close();
  }
}

function costsOf(pids: readonly number[]) {
  return pids.map((pid) => ({ cpuMs: cpuMsOf([pid]), sleeps: sleepsOf(pid), rss: rssMibOf(pid) }));
}

export type Counts = Readonly<Record<CounterName, number>>;

async function countsOf(daemons: readonly Daemon[]): Promise<Counts[]> {
  const counts: Counts[] = [];
  for (const daemon of daemons) counts.push((await daemon.status()).counters);
  return counts;
}

export interface Messages {
  /** All per second, sent and received. */
  readonly datagrams: number;
  /** Requests, answers, lines of the member list. */
  readonly tracker: number;
  /** Requests and answers, by those who gave answers. */
  readonly peers: number;
  readonly announced: number;
}

/** Exported for tests. */
export function messagesBetween(before: Counts, after: Counts, seconds: number): Messages {
  const rate = (name: CounterName) => (after[name] - before[name]) / seconds;
  return {
    datagrams: rate('dht.datagrams.sent') + rate('dht.datagrams.received'),
    tracker: rate('tracker.messages'),
    peers: 2 * rate('peer.requests'),
    announced: rate('dht.announced'),
  };
}

interface Cost {
  readonly rss: number;
  readonly cpu: number;
  readonly wakeUps: number;
  readonly messages: Messages;
}

function figuresOf(phase: Phase, objects: number, all: readonly Cost[]): Figure[] {
  const row = (what: string, value: number | null, unit: string, max?: number): Figure => ({
    ...{ bench: 'idle', what: `${phase.name}, ${objects} objects: ${what}`, value, unit },
    ...(max === undefined || !phase.promised ? {} : { target: { max } }),
  });
  // The first one hosts the tracker: the others are what most machines are.
  const members = phase.solo ? all : all.slice(1);
  const mean = (of: (cost: Cost) => number, costs = members) =>
    costs.reduce((sum, cost) => sum + of(cost), 0) / costs.length;
  const figures = [
    row('RSS, median', median(members.map(({ rss }) => rss)), 'MiB', 110),
    row(
      'CPU, mean',
      mean(({ cpu }) => cpu),
      '% of a core',
      0.3,
    ),
    row(
      'wake-ups, mean',
      mean(({ wakeUps }) => wakeUps),
      '1/s',
    ),
  ];
  if (phase.solo) return figures;
  const { rss, cpu } = all[0]!;
  // Who asked was as often a member as who answered.
  const peers = 2 * mean(({ messages }) => messages.peers, all);
  const datagrams = mean(({ messages }) => messages.datagrams);
  const tracker = mean(({ messages }) => messages.tracker);
  return [
    ...figures,
    row('messages sent and received, mean', datagrams + tracker + peers, '1/s'),
    row('... datagrams of the DHT', datagrams, '1/s'),
    row('... to and from the tracker', tracker, '1/s'),
    row('... between peers', peers, '1/s'),
    row(
      'objects announced, mean',
      mean(({ messages }) => messages.announced),
      '1/s',
    ),
    row('RSS with the tracker', rss, 'MiB'),
    row('CPU with the tracker', cpu, '% of a core'),
  ];
}
