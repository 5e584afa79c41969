// The status report: all that `/status.json` and the page show. Doors build it, pages read it.
import type { FlightReport } from '../../fetch/flights.ts';
import type { Blame } from '../../fleet/fleet.ts';
import type { CounterName } from '../../metrics/counters.ts';
import type { VolatileReport } from '../../names/known-names.ts';

export interface MemberReport {
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly version: string;
  readonly self: boolean;
  readonly upstream: boolean;
}

export interface StatusReport {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly role: 'solo' | 'member' | 'member+tracker';
  readonly startedAtMs: number;
  readonly nowMs: number;
  readonly view: number;
  readonly members: readonly MemberReport[];
  readonly trackers: readonly { readonly url: string; readonly connected: boolean }[];
  readonly objects: number;
  readonly bytes: number;
  readonly bytesMax: number;
  readonly counters: Readonly<Record<CounterName, number>>;
  /**
   * Bytes received from upstream over the bytes of distinct objects among them, on this node since
   * its start; 1 is perfect. The fleet's figure is the sum of both over its members.
   */
  readonly wanAmplification: number | null;
  readonly flights: readonly FlightReport[];
  readonly blames: readonly Blame[];
  readonly volatile: readonly VolatileReport[];
  readonly memory: { readonly rss: number };
}
