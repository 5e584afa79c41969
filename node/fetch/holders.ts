// Taking an object from the holders that the DHT knows.
import { isSmall, MiB } from '../limits.ts';
import { idOf, labelOf } from '../transfer/source.ts';
import { type ObjectTask, takeFrom } from './object-task.ts';

/** A complete lookup takes a few ms; only nodes that are gone, or get no CPU, make it longer. */
export function lookupMs({ options, flight }: ObjectTask): number {
  const mib = (flight.meta.size ?? 0) / MiB;
  return Math.min(options.lookupMs + options.lookupMsPerMib * mib, options.lookupMaxMs);
}

/** Asks one holder after the other, as they are found within `deadlineMs`. */
export async function takeFromHolders(task: ObjectTask, deadlineMs: number): Promise<void> {
  const { deps, feeding, flight, order } = task;
  const { discovery, counters, fleet, clock } = deps;
  if (!discovery) return;
  counters.add('dht.lookups');
  const sinceMs = clock.monotonicMs();
  const note = (found: { holder?: string }) =>
    order.trace?.note({
      what: 'dht',
      ...found,
      tookMs: Math.round(clock.monotonicMs() - sinceMs),
    });
  const signal = feeding.stopped;
  let found = 0;
  for await (const holder of discovery.find(order.digest, { deadlineMs, signal })) {
    found++;
    const member = fleet
      .members()
      .find(({ address, port }) => address === holder.address && port === holder.port);
    const peer = member ?? holder;
    const id = idOf(peer);
    note({ holder: labelOf({ kind: 'member', peer }) });
    // A record outlives its node for hours: one that did not answer a moment ago is not tried.
    if (id === fleet.self.id || feeding.faults.avoided.has('source', id)) continue;
    if (fleet.blamed(id, { busy: !isSmall(flight.meta.size) })) continue;
    counters.add('named.by.dht');
    await takeFrom(task, peer);
    if (!feeding.open) return;
  }
  if (found === 0) note({});
}
