// A network of test hosts: one namespace per host, a bridge in a namespace of its own, and a rate
// on both ends of each link (tc-tbf(8)). Nothing of it is seen from the machine's own network.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { runOrThrow } from '../fixtures/process.ts';

export interface HostPlan {
  /** Short, unique in the network: `n12`, `upstream`. */
  readonly name: string;
  /** Inside 10.0.0.0/8; the prefix is /16. */
  readonly address: string;
  /** Link rate in bit/s, each way. */
  readonly rate: number;
}

/** Bytes on a host's link, headers included, as the switch sees them. */
export interface LinkCount {
  readonly sent: number;
  readonly received: number;
}

const namespaceFolder = '/run/netns';
const ourNamespace = /^herd-(\d+)-/;

/** Large enough for one full-size segment of segmentation offload, which saves CPU. */
const burstBytes = 80 * 1024;
const queueMs = 60;

export class Net {
  readonly #id: string;
  #hosts: readonly HostPlan[] = [];

  /** `label` tells networks of one process apart. */
  constructor(label: string) {
    this.#id = `herd-${process.pid}-${label}`;
  }

  namespaceOf(host: string): string {
    return `${this.#id}-${host}`;
  }

  async build(hosts: readonly HostPlan[]): Promise<void> {
    raiseNeighbourLimits(hosts.length);
    this.#hosts = hosts;
    const names = hosts.map((host) => this.namespaceOf(host.name));
    await ip(
      [],
      [this.#switch, ...names].map((name) => `netns add ${name}`),
    );
    await ip(
      [],
      hosts.map((host) => {
        const peer = `peer name eth0 netns ${this.namespaceOf(host.name)}`;
        return `link add name ${host.name} netns ${this.#switch} type veth ${peer}`;
      }),
    );
    await ip(
      ['-n', this.#switch],
      [
        'link add br0 type bridge mcast_snooping 0',
        'link set br0 addrgenmode none',
        'link set br0 up',
        ...hosts.flatMap(({ name }) => [
          `link set ${name} addrgenmode none`,
          `link set ${name} master br0 up`,
        ]),
      ],
    );
    for (const host of hosts) {
      await ip(
        ['-n', this.namespaceOf(host.name)],
        [
          'link set lo up',
          'link set eth0 addrgenmode none',
          `addr add ${host.address}/16 dev eth0`,
          'link set eth0 up',
        ],
      );
    }
    for (const host of hosts) await this.setRate(host.name, host.rate, 'add');
  }

  /** Changes the rate of one host's link, both ways. */
  async setRate(host: string, rate: number, verb: 'add' | 'change' = 'change'): Promise<void> {
    const tbf = `root tbf rate ${Math.round(rate)} burst ${burstBytes} latency ${queueMs}ms`;
    const args = tbf.split(' ');
    await runOrThrow('tc', ['-n', this.#switch, 'qdisc', verb, 'dev', host, ...args]);
    const own = this.namespaceOf(host);
    await runOrThrow('tc', ['-n', own, 'qdisc', verb, 'dev', 'eth0', ...args]);
  }

  /** Takes one host off the network, or puts it back. */
  async setConnected(host: string, connected: boolean): Promise<void> {
    await ip(['-n', this.#switch], [`link set ${host} ${connected ? 'up' : 'down'}`]);
  }

  async counts(): Promise<Map<string, LinkCount>> {
    const text = await runOrThrow('ip', ['-n', this.#switch, '-s', '-j', 'link', 'show']);
    const links = JSON.parse(text.toString()) as LinkJson[];
    return new Map(
      links.map((link) => [
        link.ifname,
        { sent: link.stats64.rx.bytes, received: link.stats64.tx.bytes },
      ]),
    );
  }

  /** Ends what still runs inside and removes everything; also from an exit handler. */
  remove(): void {
    const names = this.#hosts.map((host) => this.namespaceOf(host.name));
    removeNamespaces([...names, this.#switch]);
    this.#hosts = [];
  }

  get #switch(): string {
    return `${this.#id}-switch`;
  }
}

interface LinkJson {
  readonly ifname: string;
  readonly stats64: { readonly rx: { bytes: number }; readonly tx: { bytes: number } };
}

/** Removes what runs that no longer exist have left; resolves to the number of namespaces. */
export function removeLeftovers(): number {
  const dead = listNamespaces().filter((name) => {
    const pid = ourNamespace.exec(name)?.[1];
    return pid !== undefined && !isHerd(Number(pid));
  });
  removeNamespaces(dead);
  return dead.length;
}

/** True while `pid` is a running lab. */
export function isHerd(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('herd.ts');
  } catch {
    return false;
  }
}

function listNamespaces(): string[] {
  try {
    return readdirSync(namespaceFolder);
  } catch {
    return [];
  }
}

function removeNamespaces(names: readonly string[]): void {
  const present = new Set(listNamespaces());
  for (const name of names) {
    if (!present.has(name)) continue;
    for (const pid of processesIn(name)) killQuietly(pid);
    try {
      execFileSync('ip', ['netns', 'delete', name], { stdio: 'ignore' });
    } catch {
      process.stderr.write(`herd: could not remove the namespace ${name}\n`);
    }
  }
}

function processesIn(namespace: string): number[] {
  try {
    const text = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
    return text.split('\n').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

function ip(args: readonly string[], lines: readonly string[]): Promise<Buffer> {
  return runOrThrow('ip', [...args, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** All namespaces share one neighbour table; 60 hosts that all talk overflow its default. */
function raiseNeighbourLimits(hosts: number): void {
  const wanted = Math.max(4096, 2 * hosts * hosts);
  for (const [name, value] of [
    ['gc_thresh3', wanted],
    ['gc_thresh2', wanted / 2],
    ['gc_thresh1', wanted / 4],
  ] as const) {
    const path = `/proc/sys/net/ipv4/neigh/default/${name}`;
    if (Number(readFileSync(path, 'utf8')) < value) writeFileSync(path, String(Math.ceil(value)));
  }
}
