// The one place that builds a node and wires its parts together.
import { availableParallelism, loadavg } from 'node:os';
import { join } from 'node:path';
import type { Member, Vitals } from '../tracker/protocol.ts';

import { startTracker, type Tracker } from '../tracker/server.ts';
import { classify } from './apt/classify.ts';
import { AptSources } from './apt-sources.ts';
import { IndexLearner, type LearnerOptions } from './catalog/learner.ts';
import { LevelCatalog } from './catalog/level-catalog.ts';
import type { Config, Listen } from './config.ts';
import type { Digest } from './content/digest.ts';
import { PiecePool } from './content/piece-pool.ts';
import { Flights } from './delivery/flights.ts';
import { type Borrower, HerdDelivery, type NameBook } from './delivery/herd-delivery.ts';
import { Names } from './delivery/names.ts';
import { Owner } from './delivery/owner.ts';
import { Swarms } from './delivery/swarm.ts';
import { DhtDiscovery } from './discovery/dht-discovery.ts';
import type { Discovery } from './discovery/discovery.ts';
import { AptDoor } from './doors/apt-door.ts';
import { createPeerDoor } from './doors/peer-door.ts';
import type { Outgoing } from './doors/piece-writer.ts';
import { Tunnel } from './doors/tunnel.ts';
import type { Fleet } from './fleet/fleet.ts';
import { type FleetKey, readFleetKey } from './fleet/fleet-key.ts';
import { SoloFleet } from './fleet/solo-fleet.ts';
import { TrackerFleet } from './fleet/tracker-fleet.ts';
import { PIECE_BYTES, PROTOCOL_VERSION } from './limits.ts';
import { type Clock, deadlineSignal, systemClock } from './platform/clock.ts';
import { type Garbage, youngGarbage } from './platform/garbage.ts';
import { type InheritedSocket, socketsOf } from './platform/listen-fds.ts';
import type { Log } from './platform/log.ts';
import { type Random, systemRandom } from './platform/random.ts';
import { buildReport } from './status/build-report.ts';
import { Counters } from './status/counters.ts';
import { StatusPage } from './status/page.ts';
import { BorrowingStore } from './store/borrowed.ts';
import { FileStore } from './store/file-store.ts';
import { openStateFolder } from './store/state-folder.ts';
import type { ObjectReader, Store } from './store/store.ts';
import { HttpPeers } from './transfer/http-peers.ts';
import type { Peers } from './transfer/peers.ts';
import { UndiciUpstream, undiciUpstreamDefaults } from './transfer/undici-upstream.ts';
import type { Upstream } from './transfer/upstream.ts';
import { createUpstreamGuard } from './transfer/upstream-guard.ts';
import { version } from './version.ts';
import { pskClientOptions, pskServerOptions } from './wire/tls-psk.ts';

export interface NodeDeps {
  readonly log: Log;
  readonly sockets?: readonly InheritedSocket[];
  readonly clock?: Clock;
  readonly random?: Random;
  /** Stands between a part and those who use it: faults for tests and the lab. */
  readonly decorate?: Decorations;
}

export interface Decorations {
  store?(store: Store): Store;
  upstream?(upstream: Upstream): Upstream;
  peers?(peers: Peers): Peers;
  discovery?(discovery: Discovery): Discovery;
  outgoing?: Outgoing;
}

export interface RunningNode {
  readonly aptListen: readonly Listen[];
  close(): Promise<void>;
}

/** Running transfers get this long to end. */
const DRAIN_MS = 5_000;

interface Platform {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Parts that were started, to be ended in the reverse order. */
class Started {
  readonly #ends: (() => Promise<unknown> | undefined)[] = [];

  add<T extends { close(): Promise<unknown> | undefined }>(part: T): T {
    this.#ends.push(() => part.close());
    return part;
  }

  async close(): Promise<void> {
    for (const end of this.#ends.reverse()) await end();
  }
}

/** Throws what the first part that cannot start throws, with all others ended. */
export async function startNode(config: Config, deps: NodeDeps): Promise<RunningNode> {
  const started = new Started();
  try {
    return await build(config, deps, started);
  } catch (error) {
    await started.close();
    throw error;
  }
}

async function build(config: Config, deps: NodeDeps, started: Started): Promise<RunningNode> {
  const { log, clock = systemClock, random = systemRandom, decorate = {} } = deps;
  const platform = { clock, random, log };
  const base = await openBase(platform, config, decorate, started);
  const net = await openNetwork(platform, config, decorate, started, base);
  const { store, counters, garbage, pool } = base;
  const { fleet } = net;
  const { flights, names, owner, delivery } = openDelivery(platform, config, started, base, net);
  const { key } = net;
  const { outgoing } = decorate;
  const peerParts = { fleet, owner, names, counters, garbage, pool, outgoing };
  if (key) await openPeerDoor(platform, config, started, { ...peerParts, key });
  const report = () =>
    buildReport(
      { fleet, store, flights, names, counters, clock, trackers: net.trackers },
      { config, startedAtMs: base.startedAtMs },
    );
  const pages = new StatusPage({ clock, report });
  started.add({ close: async () => pages.close() });
  const tunnels = new Tunnel({ guard: base.guard, counters, clock });
  started.add({ close: async () => tunnels.close() });
  const aptDoor = new AptDoor(
    { delivery, pages, tunnels, counters, clock, log },
    { listen: config.aptListen, fds: socketsOf('apt', deps.sockets ?? []) },
  );
  started.add({ close: () => aptDoor.close(DRAIN_MS) });
  await aptDoor.listen();
  const aptListen = aptDoor.addresses().map(({ address, port }) => ({ host: address, port }));
  log.info({ apt: aptListen, members: fleet.members().length, state: config.state }, 'serving');
  return { aptListen, close: () => started.close() };
}

/** The heart: what is on its way, what names stand for, and what is done for other members. */
function openDelivery(
  platform: Platform,
  config: Config,
  started: Started,
  base: Base,
  net: Awaited<ReturnType<typeof openNetwork>>,
) {
  const { clock, log } = platform;
  const { store, upstream, counters, pool, garbage, catalog, book, borrow } = base;
  const { fleet, peers, discovery } = net;
  const common = { garbage, fleet, peers, upstream, counters, clock, log, store };
  const swarms = new Swarms({ clock });
  const flights = started.add(new Flights({ ...common, pool, discovery, swarms }));
  base.busy = () => flights.active > 0;
  const names = new Names(
    { ...common, pool, catalog, flights },
    { freshnessMs: config.nameFreshness },
  );
  const owner = new Owner({ ...common, flights, names, swarms });
  const delivery = new HerdDelivery({ ...common, flights, names, book, borrow });
  return { flights, names, owner, delivery };
}

type Base = Awaited<ReturnType<typeof openBase>>;

/** What stands on this machine alone: state, store, catalog, the way to upstream. */
async function openBase(
  platform: Platform,
  config: Config,
  decorate: Decorations,
  started: Started,
) {
  const { clock, random, log } = platform;
  const startedAtMs = clock.nowMs();
  const folder = started.add(await openStateFolder({ random }, { path: config.state }));
  const sources = await AptSources.open(platform, config.aptSources);
  const fileStore = started.add(
    await FileStore.open(platform, {
      folder: folder.path,
      maxBytes: config.cacheMax,
      minFreeBytes: config.minFree,
    }),
  );
  const borrowing = new BorrowingStore(
    { store: fileStore, clock, log },
    { archives: config.aptArchives },
  );
  const store = decorate.store?.(borrowing) ?? borrowing;
  const catalog = started.add(await LevelCatalog.open(join(folder.path, 'catalog')));
  const learner = await IndexLearner.open(
    {
      catalog,
      readObject: (digest) => readObject(store, digest),
      archives: () => sources.bases(),
      clock,
      log,
    },
    learnerOptions(config, folder.path),
  );
  started.add(learner);
  const guard = createUpstreamGuard(
    { archives: () => sources.hosts() },
    { allow: config.allowHost },
  );
  const plain = new UndiciUpstream(
    { guard, clock, random },
    { ...undiciUpstreamDefaults, version, connectionsPerHost: config.upstreamConnections },
  );
  const upstream = decorate.upstream?.(started.add(plain)) ?? plain;
  const book = bookOf(learner);
  const borrow = borrowerOf(borrowing);
  const counters = new Counters();
  const pool = new PiecePool();
  const garbage = youngGarbage();
  // Set as soon as there are flights; until then nothing can be busy.
  const busy = (): boolean => false;
  return {
    garbage,
    pool,
    busy,
    startedAtMs,
    folder,
    sources,
    store,
    catalog,
    guard,
    upstream,
    book,
    borrow,
    counters,
  };
}

/** The other machines, with a fleet key; nobody without. */
async function openNetwork(
  platform: Platform,
  config: Config,
  decorate: Decorations,
  started: Started,
  base: Base,
) {
  const self = selfOf(config, base);
  if (config.fleetKeyFile === undefined) {
    const fleet = new SoloFleet(platform, { self });
    return { key: undefined, fleet, peers: undefined, discovery: undefined, trackers: () => [] };
  }
  const key = await readFleetKey(config.fleetKeyFile);
  const tracker = await embeddedTracker(platform, config, key, started);
  const plainPeers = started.add(
    new HttpPeers({
      ...platform,
      pool: base.pool,
      tls: pskClientOptions(key.tls),
    }),
  );
  const peers = decorate.peers?.(plainPeers) ?? plainPeers;
  const fleet = await TrackerFleet.open(
    {
      ...platform,
      vitals: () => vitalsOf(base),
      trackerMessage: () => base.counters.add('tracker.messages'),
      askPeerForMembers: (member) => peers.members(member, deadlineSignal(platform.clock, 5_000)),
    },
    {
      self,
      trackers: tracker ? [localUrl(config, tracker), ...config.tracker] : config.tracker,
      key: key.tls,
      listFile: join(base.folder.path, 'members.json'),
    },
  );
  started.add(fleet);
  base.sources.onChange = () => void fleet.describe({ archives: [...base.sources.hosts()].sort() });
  const { host, port } = config.peerListen;
  const { counters } = base;
  const announced = () => counters.add('dht.announced');
  const datagram = (way: 'sent' | 'received') =>
    counters.add(way === 'sent' ? 'dht.datagrams.sent' : 'dht.datagrams.received');
  const plainDiscovery = started.add(
    await DhtDiscovery.open(
      { ...platform, fleet, announced, datagram, busy: () => base.busy() },
      { host, port, key },
    ),
  );
  const discovery = decorate.discovery?.(plainDiscovery) ?? plainDiscovery;
  announceStore(base.store, discovery);
  return { key, fleet, peers, discovery, trackers: () => fleet.trackers() };
}

async function embeddedTracker(
  platform: Platform,
  config: Config,
  key: FleetKey,
  started: Started,
): Promise<Tracker | undefined> {
  if (config.trackerListen === undefined) return undefined;
  const { host, port } = config.trackerListen;
  return started.add(await startTracker(platform, { host, port, key: key.tls }));
}

/** A tracker that listens everywhere is reached over loopback. */
function localUrl({ trackerListen }: Config, tracker: Tracker): string {
  const everywhere = trackerListen?.host === '0.0.0.0' || trackerListen?.host === '::';
  return everywhere ? `https://127.0.0.1:${tracker.port}` : tracker.url;
}

async function openPeerDoor(
  { clock, log }: Platform,
  config: Config,
  started: Started,
  parts: {
    readonly key: FleetKey;
    readonly fleet: Fleet;
    readonly owner: Owner;
    readonly names: Names;
    readonly counters: Counters;
    readonly garbage: Garbage;
    readonly pool: PiecePool;
    readonly outgoing: Outgoing | undefined;
  },
): Promise<void> {
  const { key, fleet, owner, names, counters, garbage, pool, outgoing } = parts;
  const members = () =>
    fleet
      .members()
      .filter(({ id, address }) => address && fleet.blamed(id)?.fault !== 'unreachable');
  const door = createPeerDoor(
    { owner, names, members, counters, garbage, pool, clock, log, outgoing },
    { tls: pskServerOptions(key.tls) },
  );
  started.add({ close: async () => void (await door.close()) });
  await door.listen(config.peerListen);
}

function learnerOptions({ aptLists }: Config, folder: string): LearnerOptions {
  return {
    scratch: join(folder, 'scratch'),
    aptHelper: '/usr/lib/apt/apt-helper',
    quietMs: 60_000,
    listsFolder: aptLists,
  };
}

function selfOf(config: Config, { folder, sources, startedAtMs }: Base): Member {
  return {
    id: folder.id,
    name: config.name,
    address: config.advertiseAddress ?? ownAddress(config.peerListen),
    port: config.peerListen.port,
    version,
    protocol: PROTOCOL_VERSION,
    upstream: config.upstream,
    archives: [...sources.hosts()].sort(),
    epoch: startedAtMs,
  };
}

/** Listening everywhere, a node does not know how others reach it: the trackers see it. */
function ownAddress({ host }: Listen): string {
  return host === '0.0.0.0' || host === '::' ? '' : host;
}

function vitalsOf({ store, counters }: Base): Vitals {
  return {
    load: (loadavg()[0] ?? 0) / availableParallelism(),
    objects: store.objects,
    bytes: store.bytes,
    counters: counters.all(),
  };
}

/** What comes into the store is announced, what leaves it no more. */
function announceStore(store: Store, discovery: Discovery): void {
  store.on('added', ({ digest }) => discovery.announce(digest));
  store.on('removed', ({ digest }) => discovery.withdraw(digest));
  for (const { digest } of store.list()) discovery.announce(digest);
}

function bookOf(learner: IndexLearner): NameBook {
  return {
    async lookup(url) {
      const entry = await learner.resolve(url);
      if (entry) return entry;
      const named = classify(url);
      if (named.kind !== 'by-hash' || named.algorithm !== 'SHA256') return undefined;
      return { digest: named.hash };
    },
    noteObject: (url, digest, size) => void learner.noteObject(url, digest, size),
  };
}

function borrowerOf(store: BorrowingStore): Borrower {
  return async (url, { digest, size }) => {
    if (size === undefined || !url.endsWith('.deb')) return false;
    const name = decodeURIComponent(url.slice(url.lastIndexOf('/') + 1));
    return await store.adoptPoolFile(digest, name, size);
  };
}

async function readObject(store: Store, digest: Digest) {
  const object = await store.open(digest);
  return object && chunksOf(object);
}

async function* chunksOf(object: ObjectReader): AsyncGenerator<Buffer> {
  try {
    for (let at = 0; at < object.size; at += PIECE_BYTES) {
      yield await object.read(at, Math.min(PIECE_BYTES, object.size - at));
    }
  } finally {
    await object.close();
  }
}
