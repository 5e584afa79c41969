// The one place that builds a node and wires its parts together.
import { join } from 'node:path';
import { startTracker, type Tracker } from '../tracker/server.ts';
import { IndexLearner, learnerDefaults } from './catalog/learner.ts';
import { LevelCatalog } from './catalog/level-catalog.ts';
import { nameBook } from './catalog/name-book.ts';
import type { Config, Listen } from './config/table.ts';
import type { Digest } from './content/digest.ts';
import { PiecePool } from './content/piece-pool.ts';
import { type Core, createCore } from './core.ts';
import { announceHeld } from './discovery/announce-held.ts';
import { DhtDiscovery } from './discovery/dht-discovery.ts';
import type { Discovery } from './discovery/discovery.ts';
import { AptDoor } from './doors/apt/apt-door.ts';
import { ControlDoor } from './doors/control/control-door.ts';
import { createPeerDoor } from './doors/peer/peer-door.ts';
import type { Outgoing } from './doors/peer/piece-writer.ts';
import { buildReport } from './doors/status/build-report.ts';
import { StatusPage } from './doors/status/page.ts';
import type { StatusReport } from './doors/status/report.ts';
import { Tunnel } from './doors/tunnel.ts';
import { cameFromMember } from './fetch/came-from-member.ts';
import { type FleetKey, readFleetKey } from './fleet/fleet-key.ts';
import { selfOf, vitalsOf } from './fleet/self.ts';
import { SoloFleet } from './fleet/solo-fleet.ts';
import { TrackerFleet } from './fleet/tracker-fleet.ts';
import { AptLists } from './local-apt/apt-lists.ts';
import { AptSources } from './local-apt/apt-sources.ts';
import { BorrowingStore } from './local-apt/borrowing-store.ts';
import { packageBorrower } from './local-apt/package-borrower.ts';
import { Counters } from './metrics/counters.ts';
import { Ways } from './metrics/ways.ts';
import { type Clock, deadlineSignal, systemClock } from './platform/clock.ts';
import { collectWhileIdle, youngGarbage } from './platform/garbage.ts';
import type { InheritedSocket } from './platform/listen-fds.ts';
import type { Log } from './platform/log.ts';
import { openFilesMax } from './platform/open-files-max.ts';
import { type Random, systemRandom } from './platform/random.ts';
import { Started } from './platform/started.ts';
import { FileStore } from './store/file-store.ts';
import { readObject } from './store/read-object.ts';
import { openStateFolder } from './store/state-folder.ts';
import type { Store } from './store/store.ts';
import { HttpPeers } from './transfer/peer/http-peers.ts';
import { KeptConnections } from './transfer/peer/kept-connections.ts';
import type { Peers } from './transfer/peers.ts';
import { UndiciUpstream, undiciUpstreamDefaults } from './transfer/upstream/undici-upstream.ts';
import { createUpstreamGuard } from './transfer/upstream/upstream-guard.ts';
import type { Upstream } from './transfer/upstream.ts';
import { version } from './version.ts';
import { listenWidely } from './wire/http-server.ts';

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

/** What every step of building a node needs. */
interface Site {
  readonly config: Config;
  readonly platform: { readonly clock: Clock; readonly random: Random; readonly log: Log };
  readonly decorate: Decorations;
  readonly started: Started;
}

type Base = Awaited<ReturnType<typeof openBase>>;
type Herd = Awaited<ReturnType<typeof openHerd>>;
type Network = Herd | ReturnType<typeof openSolo>;

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
  const { log, clock = systemClock, random = systemRandom, decorate = {}, sockets = [] } = deps;
  const site = { config, platform: { clock, random, log }, decorate, started };
  const base = await openBase(site);
  const { fleetKeyFile } = config;
  const net =
    fleetKeyFile === undefined
      ? openSolo(site, base)
      : await openHerd(site, base, await readFleetKey(fleetKeyFile));
  const core = openCore(site, base, net);
  if (net.key) await openPeerDoor(site, base, net, core);
  const report = reporter(site, base, net, core);
  started.add(await ControlDoor.open({ report }, { folder: config.runtime }));
  const aptDoor = await openAptDoor(site, base, core, report, sockets);
  const aptListen = aptDoor.addresses().map(({ address, port }) => ({ host: address, port }));
  const members = net.fleet.members().length;
  log.info({ apt: aptListen, members, state: config.state }, 'serving');
  return { aptListen, close: () => started.close() };
}

/** What stands on this machine alone: state, store, catalog, the way to upstream. */
async function openBase({ config, platform, decorate, started }: Site) {
  const { clock, random, log } = platform;
  const startedAtMs = clock.nowMs();
  // The catalog is the lock: nothing is written before it is open.
  const lock = (path: string) => LevelCatalog.lock(join(path, 'catalog'));
  const folder = started.add(
    await openStateFolder({ clock, random, lock }, { path: config.state }),
  );
  const catalog = folder.lock;
  const sources = await AptSources.open(platform, config.aptSources);
  // Set as soon as there are flights; until then nothing can be busy, nor come in.
  const later = { busy: () => false, heldElsewhere: (_: Digest) => false };
  const fileStore = started.add(
    await FileStore.open(
      { ...platform, heldElsewhere: (digest) => later.heldElsewhere(digest) },
      { folder: folder.path, maxBytes: config.cacheMax, minFreeBytes: config.minFree },
    ),
  );
  const borrowing = new BorrowingStore(
    { store: fileStore, clock, log },
    { archives: config.aptArchives },
  );
  const store = decorate.store?.(borrowing) ?? borrowing;
  const learner = await IndexLearner.open(
    {
      catalog,
      readObject: (digest) => readObject(store, digest),
      lists: new AptLists({ archives: () => sources.bases() }, { folder: config.aptLists }),
      clock,
      log,
    },
    { ...learnerDefaults, scratch: join(folder.path, 'scratch') },
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
  return {
    startedAtMs,
    folder,
    sources,
    store,
    catalog,
    guard,
    upstream,
    book: nameBook(learner),
    borrow: packageBorrower(borrowing),
    counters: new Counters(),
    ways: new Ways(platform),
    pool: new PiecePool(),
    garbage: youngGarbage(),
    later,
  };
}

/** Without a fleet key: nobody else. */
function openSolo({ config, platform }: Site, base: Base) {
  const fleet = new SoloFleet(platform, { self: ownMember(config, base) });
  return { key: undefined, fleet, peers: undefined, discovery: undefined, trackers: () => [] };
}

/** The other machines. */
async function openHerd(site: Site, base: Base, key: FleetKey) {
  const { config, platform, decorate, started } = site;
  const { counters, sources } = base;
  const { credentials } = key;
  const self = ownMember(config, base);
  const tracker = await openTracker(site, key);
  const plainPeers = started.add(new HttpPeers({ ...platform, pool: base.pool, credentials }));
  const peers = decorate.peers?.(plainPeers) ?? plainPeers;
  const fleet = await TrackerFleet.open(
    {
      ...platform,
      vitals: () => vitalsOf(base),
      trackerMessage: () => counters.add('tracker.messages'),
      askPeerForMembers: (member) =>
        peers.members(member, { signal: deadlineSignal(platform.clock, 5_000) }),
    },
    {
      self,
      trackers: tracker ? [tracker.localUrl, ...config.tracker] : config.tracker,
      credentials,
      listFile: join(base.folder.path, 'members.json'),
    },
  );
  started.add(fleet);
  const limits = { openFilesMax: openFilesMax() };
  started.add(new KeptConnections({ ...platform, fleet, peers: plainPeers }, limits));
  sources.onChange = () => void fleet.describe({ archives: [...sources.hosts()].sort() });
  const { host, port } = config.peerListen;
  const announced = () => counters.add('dht.announced');
  const datagram = (way: 'sent' | 'received') =>
    counters.add(way === 'sent' ? 'dht.datagrams.sent' : 'dht.datagrams.received');
  const plainDiscovery = started.add(
    await DhtDiscovery.open(
      { ...platform, fleet, announced, datagram, busy: () => base.later.busy() },
      { host, port, key },
    ),
  );
  const discovery = decorate.discovery?.(plainDiscovery) ?? plainDiscovery;
  announceHeld(base.store, discovery);
  return { key, fleet, peers, discovery, trackers: () => fleet.trackers() };
}

async function openTracker(
  { config, platform, started }: Site,
  { credentials }: FleetKey,
): Promise<Tracker | undefined> {
  if (config.trackerListen === undefined) return undefined;
  const { host, port } = config.trackerListen;
  return started.add(await startTracker(platform, { host, port, credentials }));
}

function ownMember(config: Config, { folder: { id, epoch }, sources }: Base) {
  const { name, advertiseAddress, peerListen, upstream } = config;
  const options = { name, advertiseAddress, peerListen, upstream };
  return selfOf({ id, epoch, hosts: sources.hosts() }, options);
}

/** What is on its way, what names stand for, and what is done for other members. */
function openCore({ config, platform, started }: Site, base: Base, net: Network): Core {
  const { clock } = platform;
  const { counters, later } = base;
  const core = createCore({ ...platform, ...base, ...net }, { freshnessMs: config.nameFreshness });
  started.add(core);
  const { flights } = core;
  later.busy = () => flights.active > 0;
  later.heldElsewhere = (digest) => cameFromMember(flights, digest);
  const served = () => counters.get('apt.requests') + counters.get('sent.bytes.peer');
  const idle = collectWhileIdle({ clock, busy: later.busy, served });
  started.add({ close: async () => idle.cancel() });
  return core;
}

async function openPeerDoor(site: Site, base: Base, net: Herd, core: Core): Promise<void> {
  const { config, platform, decorate, started } = site;
  const { clock, log } = platform;
  const { counters, ways, pool } = base;
  const { serving, links } = core;
  const { outgoing } = decorate;
  const members = () => net.fleet.membersForPeers();
  const door = createPeerDoor(
    { serving, links, ways, members, counters, pool, clock, log, outgoing },
    { credentials: net.key.credentials },
  );
  started.add({ close: async () => void (await door.close()) });
  await listenWidely(door, config.peerListen);
}

function reporter({ config, platform }: Site, base: Base, net: Network, core: Core) {
  const deps = { ...platform, ...base, ...net, ...core };
  const hostsTracker = config.trackerListen !== undefined;
  const { startedAtMs } = base;
  return () => buildReport(deps, { cacheMax: config.cacheMax, hostsTracker, startedAtMs });
}

/** Where apt connects to, and people's browsers. */
async function openAptDoor(
  { config, platform, started }: Site,
  base: Base,
  { delivery }: Core,
  report: () => StatusReport,
  sockets: readonly InheritedSocket[],
): Promise<AptDoor> {
  const { clock, log } = platform;
  const { counters, ways, guard } = base;
  const pages = new StatusPage({ clock, report, ways });
  started.add({ close: async () => pages.close() });
  const tunnels = new Tunnel({ guard, counters, clock });
  started.add({ close: async () => tunnels.close() });
  const aptDoor = new AptDoor(
    { delivery, pages, tunnels, counters, ways, clock, log },
    { listen: config.aptListen, fds: sockets.map(({ fd }) => fd) },
  );
  started.add({ close: () => aptDoor.close(DRAIN_MS) });
  await aptDoor.listen();
  return aptDoor;
}
