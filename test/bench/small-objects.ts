// Small objects in a large fleet: one member asks for what another one fetched before.
import type { Daemon } from '../fixtures/daemon.ts';
import { type Fetched, fetchVia } from './bench-fleet.ts';
import { type Figure, timesOf } from './figures.ts';
import type { ServedObject } from './object-server.ts';
import type { LargeFleet } from './shared-fleet.ts';

const SIZES = [
  { label: '60 KB', bytes: 60_000, count: 300 },
  { label: '400 KB', bytes: 400_000, count: 150 },
];
const WARM_UP_BYTES = 60_000;

export async function smallObjects({ fleet, upstream }: LargeFleet): Promise<Figure[]> {
  const nodes = fleet.daemons.length;
  const received = new Map<Daemon, number>();
  const many = (bytes: number, count: number) =>
    Array.from({ length: count }, () => upstream.add(bytes));
  // Each member a few times: code that was never run is not what is measured.
  for (const [index, object] of many(WARM_UP_BYTES, 3 * nodes).entries()) {
    await passOn(fleet.daemons[index % nodes]!, other(fleet.daemons, index % nodes), object);
  }
  for (const daemon of fleet.daemons) received.set(daemon, await receivedBy(daemon));
  const figures: Figure[] = [];
  for (const { label, bytes, count } of SIZES) {
    const times: Fetched[] = [];
    let own = 0;
    for (const object of many(bytes, count)) {
      const at = Math.floor(Math.random() * nodes);
      const [holder, taker] = [fleet.daemons[at]!, other(fleet.daemons, at)];
      const fetched = await passOn(holder, taker, object);
      // Asked after each GET, not before it, so that the measured one meets a daemon at rest.
      received.set(holder, await receivedBy(holder));
      const before = received.get(taker) ?? 0;
      received.set(taker, await receivedBy(taker));
      // The owner of the object got it when the holder did.
      if (received.get(taker)! - before < bytes) own++;
      else times.push(fetched);
    }
    const note = `${times.length} objects; ${own} more were there already`;
    figures.push(...timesOf(`${label}, one of ${nodes}`, times, { p50: 5, p99: 30 }, note));
  }
  return figures;
}

function other(daemons: readonly Daemon[], not: number): Daemon {
  const at = Math.floor(Math.random() * (daemons.length - 1));
  return daemons[at < not ? at : at + 1]!;
}

async function passOn(holder: Daemon, taker: Daemon, { url, bytes }: ServedObject) {
  await fetchVia(holder, url, bytes);
  return await fetchVia(taker, url, bytes);
}

async function receivedBy(daemon: Daemon): Promise<number> {
  return (await daemon.status()).counters['received.bytes.peer'];
}
