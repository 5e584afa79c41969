// Totals since start, and what each of them counts. Their names are a contract: /status.json and
// the trackers show them.

/** What one of it is; a monitoring system draws bytes otherwise than requests. */
export type Unit =
  | 'bytes'
  | 'requests'
  | 'errors'
  | 'objects'
  | 'pieces'
  | 'transfers'
  | 'messages'
  | 'lookups';

export interface Metric {
  /** One sentence for people, without a full stop, as Prometheus' HELP lines are. */
  readonly help: string;
  readonly unit: Unit;
  /** Never falls while the daemon runs. */
  readonly type: 'counter';
}

const counter = (unit: Unit, help: string): Metric => ({ help, unit, type: 'counter' });

// The name for Prometheus is `debherd_`, the name with an underscore for each dot, and `_total`:
// debherd_apt_bytes_local_total. Names are of [a-z.] alone, so that this cannot make two one.
const table = {
  'apt.bytes.local': counter('bytes', "Body bytes given to apt out of this node's own store"),
  'apt.bytes.flight': counter('bytes', 'Body bytes given to apt of what was on its way in already'),
  'apt.bytes.peer': counter('bytes', 'Body bytes given to apt that another member sent'),
  'apt.bytes.upstream': counter('bytes', 'Body bytes given to apt that came from upstream'),
  'apt.requests': counter('requests', 'Requests of apt and other clients'),
  'apt.errors': counter('errors', 'Requests of apt that failed or were answered with 5xx'),
  'received.bytes.peer': counter('bytes', 'Body bytes that other members sent to this node'),
  'received.bytes.upstream.elected': counter(
    'bytes',
    'Body bytes from upstream of what this node fetched for the whole fleet',
  ),
  'received.bytes.upstream.unelected': counter(
    'bytes',
    'Body bytes from upstream of what this node fetched for itself alone',
  ),
  'received.bytes.tunnel': counter('bytes', 'Bytes that came in through CONNECT tunnels'),
  'upstream.requests.elected': counter('requests', 'Requests to upstream for the whole fleet'),
  'upstream.requests.unelected': counter('requests', 'Requests to upstream for this node alone'),
  'upstream.errors': counter('errors', 'Fetches from upstream that failed'),
  'sent.bytes.peer': counter('bytes', 'Body bytes that this node sent to other members'),
  'unique.bytes': counter(
    'bytes',
    'Bytes of distinct objects that this node was the first to ask upstream for',
  ),
  'named.by.dht': counter('transfers', 'Transfers whose source the DHT named'),
  'named.by.owner': counter('transfers', 'Transfers whose source the owner of the object named'),
  'named.by.cache': counter('transfers', 'Transfers whose source this node knew itself'),
  'flights.started': counter('transfers', 'Objects that began to come in'),
  'flights.takeovers': counter(
    'transfers',
    'Transfers that went on upstream with a part already here',
  ),
  'flights.passed': counter(
    'transfers',
    'Transfers left to the next in rank as its link carries more',
  ),
  'pieces.bad': counter('pieces', 'Pieces from members whose hash was wrong'),
  'objects.bad': counter('objects', 'Objects whose digest was wrong when they were whole'),
  'swarm.handovers': counter('transfers', 'Askers that this node as owner sent to another source'),
  'dht.lookups': counter('lookups', 'Searches for holders in the DHT'),
  'dht.announced': counter('objects', 'Announcements to the DHT that this node holds an object'),
  'dht.datagrams.sent': counter('messages', 'Datagrams sent for the DHT'),
  'dht.datagrams.received': counter('messages', "Datagrams of the fleet's DHT that came in"),
  'tracker.messages': counter(
    'messages',
    'Announcements to trackers, their answers, and lines of the member list',
  ),
  'peer.requests': counter('requests', 'Requests of other members to this node'),
} as const satisfies Record<string, Metric>;

export type CounterName = keyof typeof table;

export const counters: Readonly<Record<CounterName, Metric>> = table;
/** In the order in which they are shown. */
export const counterNames = Object.keys(table) as CounterName[];

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
