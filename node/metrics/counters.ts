// Totals since start. Names are dotted; the status report and the fleet page read them.

export const counterNames = [
  // Body bytes given to apt, by where they came from when they were asked for.
  'apt.bytes.local',
  'apt.bytes.flight',
  'apt.bytes.peer',
  'apt.bytes.upstream',
  'apt.requests',
  'apt.errors',
  // Body bytes that this node received.
  'received.bytes.peer',
  'received.bytes.upstream.elected',
  'received.bytes.upstream.unelected',
  'received.bytes.tunnel',
  'upstream.requests.elected',
  'upstream.requests.unelected',
  'upstream.errors',
  // Body bytes sent to peers.
  'sent.bytes.peer',
  // Bytes of distinct objects that this node was the first to ask upstream for.
  'unique.bytes',
  // Who named the source of a transfer.
  'named.by.dht',
  'named.by.owner',
  'named.by.cache',
  'flights.started',
  'flights.takeovers',
  'flights.passed',
  'pieces.bad',
  'objects.bad',
  'swarm.handovers',
  'dht.lookups',
  'dht.announced',
  // Messages between machines that keep the fleet together: datagrams; announcements to trackers,
  // their answers, and lines of the member list; requests that members sent here.
  'dht.datagrams.sent',
  'dht.datagrams.received',
  'tracker.messages',
  'peer.requests',
] as const;

export type CounterName = (typeof counterNames)[number];

export class Counters {
  readonly #values = new Map<CounterName, number>(counterNames.map((name) => [name, 0]));

  add(name: CounterName, amount = 1): void {
    this.#values.set(name, this.get(name) + amount);
  }

  get(name: CounterName): number {
    return this.#values.get(name) ?? 0;
  }

  /** A snapshot, in the order of `counterNames`. */
  all(): Record<CounterName, number> {
    return Object.fromEntries(this.#values) as Record<CounterName, number>;
  }
}
