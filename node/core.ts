// The node itself, from the way of a GET down to one object on its way in: wires the parts that
// know no technology to the ports they are given. The daemon, tests and simulations run this same
// wiring and differ only in their ports.
import type { Catalog } from './catalog/catalog.ts';
import type { PiecePool } from './content/piece-pool.ts';
import { type Borrower, HerdDelivery, type NameBook } from './delivery/herd-delivery.ts';
import type { Discovery } from './discovery/discovery.ts';
import { Flights } from './fetch/flights.ts';
import type { Fleet } from './fleet/fleet.ts';
import { LinkRates } from './links/link-rates.ts';
import { LinkSurvey } from './links/link-survey.ts';
import type { Counters } from './metrics/counters.ts';
import { Names } from './names/names.ts';
import type { Clock } from './platform/clock.ts';
import type { Garbage } from './platform/garbage.ts';
import type { Log } from './platform/log.ts';
import type { Random } from './platform/random.ts';
import { Started } from './platform/started.ts';
import { Claims } from './serving/claims.ts';
import { Supplies } from './serving/supplies.ts';
import { Wants } from './serving/wants.ts';
import type { Store } from './store/store.ts';
import { Swarms } from './swarm/swarm.ts';
import type { Peers } from './transfer/peers.ts';
import type { Upstream } from './transfer/upstream.ts';

export interface CorePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: Counters;
  readonly pool: PiecePool;
  readonly garbage: Garbage;
  readonly store: Store;
  readonly catalog: Catalog;
  readonly fleet: Fleet;
  readonly upstream: Upstream;
  /** Absent in a fleet of one, as `discovery` is. */
  readonly peers: Peers | undefined;
  readonly discovery: Discovery | undefined;
  readonly book: NameBook;
  readonly borrow: Borrower;
}

export interface CoreOptions {
  /** For so long an answer of upstream for a volatile name holds for the whole fleet, ms. */
  readonly freshnessMs: number;
}

/** `close` ends what is on its way; the ports are their owner's to close. */
export type Core = ReturnType<typeof createCore>;

export function createCore(ports: CorePorts, { freshnessMs }: CoreOptions) {
  const started = new Started();
  const { fleet, peers } = ports;
  const swarms = new Swarms(ports);
  const links = new LinkRates(ports);
  const flights = started.add(new Flights({ ...ports, swarms, links }, { freshnessMs }));
  if (peers) started.add(new LinkSurvey({ ...ports, fleet, peers, links, flights }));
  const names = new Names({ ...ports, flights }, { freshnessMs });
  const supplies = new Supplies({ ...ports, flights });
  const wants = new Wants({ ...ports, flights, swarms, links, supplies });
  const claims = new Claims({ ...ports, flights, names, swarms });
  const delivery = new HerdDelivery({ ...ports, flights, names });
  const serving = { wants, supplies, claims, names };
  return { flights, names, serving, delivery, links, close: () => started.close() };
}
