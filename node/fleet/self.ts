// What this node says of itself to the fleet: who it is, and how it fares.
import { availableParallelism, loadavg } from 'node:os';
import type { Member, Vitals } from '../../tracker/protocol.ts';
import { PROTOCOL_VERSION } from '../limits.ts';
import type { Counters } from '../metrics/counters.ts';
import { isEverywhere } from '../platform/everywhere.ts';
import type { Store } from '../store/store.ts';
import { version } from '../version.ts';

interface SelfParts {
  /** 40 hexadecimal characters, from the state folder. */
  readonly id: string;
  /** Upstream hosts in this machine's own apt sources. */
  readonly hosts: Iterable<string>;
  /** Of this start, from the state folder. */
  readonly epoch: number;
}

/** As configured. */
interface SelfOptions {
  readonly name: string;
  readonly advertiseAddress: string | undefined;
  readonly peerListen: { readonly host: string; readonly port: number };
  readonly upstream: boolean;
}

export function selfOf({ id, epoch, hosts }: SelfParts, options: SelfOptions): Member {
  const { name, advertiseAddress, peerListen, upstream } = options;
  return {
    id,
    name,
    address: advertiseAddress ?? ownAddress(peerListen.host),
    port: peerListen.port,
    version,
    protocol: PROTOCOL_VERSION,
    upstream,
    archives: [...hosts].sort(),
    epoch,
  };
}

/** Listening everywhere, a node does not know how others reach it: the trackers see it. */
function ownAddress(host: string): string {
  return isEverywhere(host) ? '' : host;
}

export function vitalsOf({ store, counters }: { store: Store; counters: Counters }): Vitals {
  return {
    load: (loadavg()[0] ?? 0) / availableParallelism(),
    objects: store.objects,
    bytes: store.bytes,
    counters: counters.all(),
  };
}
