// Gathers the status report from the parts of a node.
import type { Flights } from '../../fetch/flights.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { Counters } from '../../metrics/counters.ts';
import type { Names } from '../../names/names.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Store } from '../../store/store.ts';
import { version } from '../../version.ts';
import type { StatusReport } from './report.ts';

interface ReportDeps {
  readonly fleet: Fleet;
  readonly store: Store;
  readonly flights: Flights;
  readonly names: Names;
  readonly counters: Counters;
  readonly clock: Clock;
  trackers(): StatusReport['trackers'];
}

interface ReportOptions {
  /** Bytes. */
  readonly cacheMax: number;
  readonly hostsTracker: boolean;
  readonly startedAtMs: number;
}

const VOLATILE_SHOWN = 100;

export function buildReport(deps: ReportDeps, options: ReportOptions): StatusReport {
  const { fleet, store, flights, names, counters, clock } = deps;
  const { self } = fleet;
  const { hostsTracker, cacheMax } = options;
  return {
    id: self.id,
    name: self.name,
    version,
    role: fleet.solo ? 'solo' : hostsTracker ? 'member+tracker' : 'member',
    startedAtMs: options.startedAtMs,
    nowMs: clock.nowMs(),
    view: fleet.view,
    members: fleet.members().map(({ id, name, address, port, version: theirs, upstream }) => ({
      id,
      name,
      address,
      port,
      version: theirs,
      self: id === self.id,
      upstream,
    })),
    trackers: deps.trackers(),
    objects: store.objects,
    bytes: store.bytes,
    bytesMax: cacheMax,
    counters: counters.all(),
    wanAmplification: wanAmplification(counters),
    flights: flights.report(),
    blames: fleet.blames(),
    volatile: names.report().slice(0, VOLATILE_SHOWN),
    memory: { rss: process.memoryUsage.rss() },
  };
}

function wanAmplification(counters: Counters): number | null {
  const unique = counters.get('unique.bytes');
  if (unique === 0) return null;
  const fetched =
    counters.get('received.bytes.upstream.elected') +
    counters.get('received.bytes.upstream.unelected') +
    counters.get('received.bytes.tunnel');
  return fetched / unique;
}
