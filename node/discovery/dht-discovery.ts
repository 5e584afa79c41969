// Discovery over a private BitTorrent DHT (BEP 5) among the members: keyed names, sealed
// datagrams, no public network. IPv4 only, as BEP 5's compact addresses are: members with an IPv6
// address neither store records nor announce; their objects are found through the owners.
import { createHmac } from 'node:crypto';
import { isIP, isIPv4 } from 'node:net';
import { Client } from 'bittorrent-dht';
import KRpc from 'k-rpc';
import type { Digest } from '../content/digest.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { isEverywhere } from '../platform/everywhere.ts';
import type { Log } from '../platform/log.ts';
import type { Random } from '../platform/random.ts';
import { Announcer } from './announcer.ts';
import type { Discovery, Holder } from './discovery.ts';
import { HolderStream } from './holder-stream.ts';
import { type DatagramCounts, SealedSocket } from './sealed-socket.ts';
import { Sealer } from './sealer.ts';

export interface DhtDiscoveryDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Its members are the nodes of the DHT. */
  readonly fleet: Pick<Fleet, 'self' | 'members' | 'blamed' | 'onChange'>;
  /** True while the machine has better things to do. */
  busy?(): boolean;
  /** An announcement went out, or others made it needless. */
  announced?(): void;
  /** A datagram of the fleet went out or came in. */
  datagram?(way: 'sent' | 'received'): void;
}

export interface DhtDiscoveryOptions {
  /** Where to listen, UDP: an IPv4 address, or '::' for all of them; the port is `self.port`. */
  readonly host: string;
  readonly port: number;
  /** The two subkeys of the fleet key. */
  readonly key: { readonly dhtSeal: Buffer; readonly dhtKey: Buffer };
  /** All held objects are announced again in this time. */
  readonly cycleMs?: number;
  /** New objects are announced when none has come for this long. */
  readonly quietMs?: number;
}

const HOUR = 3_600_000;

// Records live 0.66 to 1.33 times the maximum age (record-cache), so the cycle of announcements
// must fit into two thirds of it.
/** All held objects are announced again in this time. */
export const CYCLE_MS = 12 * HOUR;
const QUIET_MS = 5_000;
const RECORD_AGE_MS = 20 * HOUR;
const RECORDS_MAX = 50_000;

// A record is kept by, and a lookup asks, this many nodes: with BEP 5's 20 a miss costs twice and
// a half as many datagrams, and these nodes are machines of one fleet, not of strangers.
const REPLICAS = 8;
// The routing table holds whole fleets of up to about this size, so most lookups take one step.
const BUCKET = 64;
// Enough for apt's ten lookups at once, with room for queries that dead nodes keep waiting.
const QUERIES_MAX = 256;
const QUERY_TIMEOUT_MS = 1000;

// So many other holders of an object make one more record useless.
const HOLDERS_ENOUGH = 8;

// Members that were dropped for an unanswered query come back.
const REFRESH_MS = 60_000;

export class DhtDiscovery implements Discovery {
  readonly #deps: DhtDiscoveryDeps;
  readonly #keyOf: (digest: Digest) => Buffer;
  readonly #socket: SealedSocket;
  readonly #rpc: KRpc;
  readonly #dht: Client;
  readonly #announcer: Announcer;
  readonly #searches = new Map<string, Set<(holder: Holder) => void>>();
  readonly #open = new Set<HolderStream>();
  readonly #refresh: Timer;
  #nodes = new Map<string, { host: string; port: number }>();
  // Ports of each address, to know records of a port that its node has left.
  #ports = new Map<string, Set<number>>();
  /** The least members since all that is held was announced. */
  #announcedAmong = Number.POSITIVE_INFINITY;
  #closed = false;

  /** Resolves when the port is open; throws the socket's own error (EADDRINUSE, EACCES). */
  static async open(deps: DhtDiscoveryDeps, options: DhtDiscoveryOptions): Promise<DhtDiscovery> {
    const discovery = new DhtDiscovery(deps, options);
    await discovery.#listen(options);
    return discovery;
  }

  private constructor(deps: DhtDiscoveryDeps, options: DhtDiscoveryOptions) {
    this.#deps = deps;
    const { dhtKey, dhtSeal } = options.key;
    this.#keyOf = (digest) => createHmac('sha256', dhtKey).update(digest).digest().subarray(0, 20);
    this.#socket = new SealedSocket(new Sealer(dhtSeal, deps.random), (way) =>
      deps.datagram?.(way),
    );
    this.#rpc = privateRpc(Buffer.from(deps.fleet.self.id, 'hex'), this.#socket);
    this.#dht = new Client({
      krpc: this.#rpc,
      bootstrap: false,
      maxAge: RECORD_AGE_MS,
      maxPeers: RECORDS_MAX,
    });
    this.#dht.on('peer', (peer: { host: string; port: number }, key: Buffer) => {
      const holder = { address: peer.host, port: peer.port };
      for (const found of this.#searches.get(key.toString('hex')) ?? []) found(holder);
    });
    this.#dht.on('warning', (error: Error) => {
      deps.log.debug({ reason: error.message }, 'DHT warning');
    });
    this.#announcer = new Announcer(
      {
        clock: deps.clock,
        send: (digest) => this.#send(digest),
        ready: () => this.#nodes.size > 0 && !deps.fleet.self.address.includes(':'),
        busy: () => deps.busy?.() ?? false,
      },
      {
        cycleMs: options.cycleMs ?? CYCLE_MS,
        quietMs: options.quietMs ?? QUIET_MS,
        paceMs: 200,
        slowPaceMs: 1000,
        backlog: 500,
      },
    );
    this.#refresh = deps.clock.every(REFRESH_MS, () => this.#fillTable());
    deps.fleet.onChange(() => this.#follow());
  }

  /** Datagrams so far; `strangers` did not open. */
  get datagrams(): Readonly<DatagramCounts> {
    return this.#socket.counts;
  }

  get port(): number {
    return this.#dht.address().port;
  }

  find(
    digest: Digest,
    options: { deadlineMs: number; signal?: AbortSignal },
  ): AsyncIterable<Holder> {
    const { deadlineMs, signal } = options;
    const end = () => stream.end();
    const stream = new HolderStream(() => {
      timer.cancel();
      signal?.removeEventListener('abort', end);
      this.#open.delete(stream);
      stop();
    });
    const timer = this.#deps.clock.after(deadlineMs, end);
    const stop = this.#search(digest, (holder) => stream.push(holder), end);
    this.#open.add(stream);
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted || this.#closed) stream.end();
    return stream;
  }

  announce(digest: Digest): void {
    this.#announcer.add(digest);
  }

  withdraw(digest: Digest): void {
    this.#announcer.remove(digest);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#refresh.cancel();
    this.#announcer.close();
    for (const stream of [...this.#open]) stream.end();
    await new Promise<void>((resolve) => this.#dht.destroy(resolve));
  }

  #listen({ host, port }: DhtDiscoveryOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#dht.once('error', reject);
      this.#dht.once('listening', () => {
        this.#dht.off('error', reject);
        this.#dht.on('error', (error: Error) => {
          this.#deps.log.warn({ reason: error.message }, 'DHT socket error');
        });
        this.#follow();
        resolve();
      });
      this.#dht.listen(port, isEverywhere(host) ? '0.0.0.0' : host);
    });
  }

  // Starts a lookup; returns what ends it.
  #search(digest: Digest, found: (holder: Holder) => void, done: () => void): () => void {
    if (this.#closed) return () => {};
    const key = this.#keyOf(digest);
    const name = key.toString('hex');
    const useful = (holder: Holder) => {
      if (this.#isUseful(holder)) found(holder);
    };
    const searches = this.#searches.get(name) ?? new Set();
    this.#searches.set(name, searches.add(useful));
    const abort = this.#dht.lookup(key, () => done());
    return () => {
      abort();
      searches.delete(useful);
      if (searches.size === 0) this.#searches.delete(name);
    };
  }

  // Not this node, and not a port that the node at this address no longer has.
  #isUseful({ address, port }: Holder): boolean {
    const { self } = this.#deps.fleet;
    if (address === self.address && port === self.port) return false;
    return this.#ports.get(address)?.has(port) ?? true;
  }

  // The lookup that an announcement needs for its tokens tells also whether it is needed at all.
  #send(digest: Digest): Promise<void> {
    const others = new Set<string>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = this.#search(
      digest,
      ({ address, port }) => others.add(`${address} ${port}`),
      () => {
        stop();
        if (this.#closed || others.size >= HOLDERS_ENOUGH) return resolve();
        // With the port in the message: the one of the datagram may be another one's (NAT).
        this.#dht.announce(this.#keyOf(digest), this.#deps.fleet.self.port, () => resolve());
      },
    );
    return promise.then(() => this.#deps.announced?.());
  }

  #follow(): void {
    const { fleet } = this.#deps;
    const before = this.#nodes;
    this.#nodes = new Map();
    this.#ports = new Map();
    for (const { id, address, port } of fleet.members()) {
      // An IPv6 address would silently become 0.0.0.0 in the compact form.
      if (id === fleet.self.id || !isIPv4(address)) continue;
      this.#nodes.set(id, { host: address, port });
      this.#ports.set(address, (this.#ports.get(address) ?? new Set()).add(port));
    }
    for (const [id, old] of before) {
      const now = this.#nodes.get(id);
      if (now?.host !== old.host || now.port !== old.port) {
        this.#dht.removeNode(Buffer.from(id, 'hex'));
      }
    }
    this.#fillTable();
    this.#announceAmongMore();
    this.#announcer.wake();
  }

  // Records are kept in memory, by the nodes closest to them: in a fleet of twice the members,
  // as on the first day and on every morning, most of those closest have never heard of them.
  #announceAmongMore(): void {
    const members = this.#nodes.size;
    const doubled = members >= 2 * this.#announcedAmong;
    this.#announcedAmong = doubled ? members : Math.min(members, this.#announcedAmong);
    if (doubled) this.#announcer.again();
  }

  #fillTable(): void {
    if (this.#closed) return;
    for (const [hex, { host, port }] of this.#nodes) {
      if (this.#deps.fleet.blamed(hex)?.fault === 'unreachable') continue;
      const id = Buffer.from(hex, 'hex');
      if (this.#rpc.nodes.get(id) === null) this.#dht.addNode({ id, host, port });
    }
  }
}

function privateRpc(id: Buffer, socket: SealedSocket): KRpc {
  const rpc = new KRpc({
    id,
    socket,
    bootstrap: false,
    timeout: QUERY_TIMEOUT_MS,
    k: BUCKET,
    // A host that is no address would be looked up in the DNS.
    isIP: (host) => isIP(host) || 4,
  });
  rpc.k = REPLICAS;
  rpc.concurrency = QUERIES_MAX;
  // Answers carry `closest(target)`, by default the whole table: 1.5 KB for sixty members.
  const { nodes } = rpc;
  const closest = nodes.closest.bind(nodes);
  nodes.closest = (target, count = REPLICAS) => closest(target, count);
  return rpc;
}
