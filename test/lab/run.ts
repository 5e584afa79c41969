// What one run of the lab consists of: shared words of systems, scenarios and measuring.
import type { Apt } from '../fixtures/apt.ts';
import type { Archive } from '../fixtures/archive.ts';
import type { Host, LabProcess } from './host.ts';
import type { Net } from './netns.ts';
import type { HerdOptions } from './options.ts';
import type { UpstreamHost } from './upstream-host.ts';

/** A machine of the fleet, with its apt. */
export interface LabNode {
  /** From 1. */
  readonly index: number;
  readonly host: Host;
  readonly apt: Apt;
  /** Takes part in the timed work. */
  timed: boolean;
  /** Killed by the scenario: its apt does not count. */
  dead: boolean;
  /** Made slow by the scenario: its failures count, its time does not. */
  aside: boolean;
  client: LabProcess | undefined;
  /** Exit codes; undefined: not reached. */
  update: number | undefined;
  install: number | undefined;
  /** Milliseconds from the node's start, the common one unless delayed, to its end. */
  finishedMs: number | undefined;
}

/** Archives to install from, as they are served by the upstream host. */
export interface LabArchive {
  /** Folder that the upstream host serves. */
  readonly root: string;
  /** Archive and the path under the root where it is served: `/main`. */
  readonly parts: readonly { readonly archive: Archive; readonly path: string }[];
  /** What nodes install; empty: only `apt-get update`. */
  readonly install: readonly string[];
  /** Bytes of all .debs that an install fetches. */
  readonly packageBytes: number;
}

export interface LabRun {
  readonly options: HerdOptions;
  /** For state of systems and nodes; removed after the run. */
  readonly dir: string;
  readonly net: Net;
  readonly upstream: UpstreamHost;
  /** A host without apt, for what stands alone: a cache server or a tracker. */
  readonly server: Host;
  readonly nodes: readonly LabNode[];
  readonly archive: LabArchive;
  /** The least time that the links allow for all nodes, in milliseconds. */
  readonly limitMs: number;
  /** One line for a person. */
  say(line: string): void;
}

/** One way to give packages to many machines. */
export interface System {
  readonly name: string;
  /** Debian packages that it needs. */
  readonly packages: readonly string[];
  /** What a node's apt is told; undefined: no proxy. */
  proxy(server: string): string | undefined;
  /** More that a node's apt is told (apt.conf(5)): `Acquire::Retries` → `0`. */
  readonly aptConfig?: Readonly<Record<string, string>>;
  /** Resolves when it is ready to be asked by all nodes. */
  start(run: LabRun, wishes: Wishes): Promise<RunningSystem>;
}

/** What a scenario wants to be different from the start. */
export interface Wishes {
  /** Node that runs an entry point which spoils the bytes it passes on. */
  readonly corruptNode?: number;
  /**
   * Runs when the first node is served and, if possible, before others are: what it gets is then
   * nowhere else. A system that does not call it is seeded after its start.
   */
  readonly seed?: () => Promise<void>;
  /** Something like a service manager holds the listening sockets and starts what ended. */
  readonly heldSockets?: boolean;
}

export interface RunningSystem {
  readonly processes: readonly LabProcess[];
  /** Only systems that run on the nodes themselves have it. */
  readonly fleet?: FleetHandle;
  stop(): Promise<void>;
}

export interface BusyOwner {
  readonly node: LabNode;
  /** Files that it is fetching from upstream. */
  readonly flights: number;
  /** Requests that it made upstream so far. */
  readonly requests: number;
}

export interface FleetHandle {
  /** The node that fetches the most unfinished bytes from upstream now. */
  busiestOwner(): Promise<BusyOwner | undefined>;
  /** kill -9 of a node's daemon. */
  killDaemon(node: LabNode): Promise<void>;
  killTracker(): Promise<void>;
  /** Whom the daemons name, each fault once: `n1 corrupt`. */
  blames(): Promise<string[]>;
}

export interface Scenario {
  readonly name: string;
  /** Which archive it needs. */
  readonly archive: 'package' | 'object' | 'indexes';
  /** Update and install, only one of them. */
  readonly work: 'update+install' | 'update' | 'install';
  readonly wishes?: Omit<Wishes, 'seed'>;
  /** Gives the first node, or a cache server, what the others will want. */
  seed?(run: LabRun): Promise<void>;
  /** Before the clock starts. */
  prepare?(run: LabRun, system: RunningSystem): Promise<void>;
  /** Milliseconds after the common start; default 0. */
  delayMs?(node: LabNode, run: LabRun): number;
  /** While apt works; must end soon after `signal` aborts. */
  disturb?(run: LabRun, system: RunningSystem, signal: AbortSignal): Promise<void>;
}
