// debherd: a daemon on every node, one tracker on a host of its own.
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StatusReport } from '../../../node/doors/status/report.ts';
import { writeFleetKey } from '../../fixtures/daemon.ts';
import { nodeCommand } from '../../fixtures/launcher.ts';
import type { LabProcess } from '../host.ts';
import type {
  BusyOwner,
  FleetHandle,
  LabNode,
  LabRun,
  RunningSystem,
  System,
  Wishes,
} from '../run.ts';
import { treeOf } from '../usage.ts';
import { inBatches, waitFor } from '../wait.ts';

const fileAt = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const productMain = fileAt('../../../node/debherd.js');
const corruptMain = fileAt('../corrupt-node.ts');
const holdSocket = fileAt('../../fixtures/hold-socket.pl');
const statusUrl = 'http://127.0.0.1:3142/status.json';
const trackerPort = 3144;
/** Daemons that take less than this part of a core each, over so long, are at rest. */
const REST_CORES = 0.015;
const REST_MS = 2000;

export const debherd: System = {
  name: 'debherd',
  packages: [],
  proxy: () => 'http://127.0.0.1:3142',
  aptConfig: deployedAptConfig(),
  start: (run, wishes) => new Fleet(run, wishes).start(),
};

class Fleet implements FleetHandle, RunningSystem {
  readonly #run: LabRun;
  readonly #wishes: Wishes;
  readonly #dir: string;
  readonly #daemons = new Map<LabNode, LabProcess>();
  #tracker: LabProcess | undefined;
  #keyFile = '';

  constructor(run: LabRun, wishes: Wishes) {
    this.#run = run;
    this.#wishes = wishes;
    this.#dir = join(run.dir, 'debherd');
  }

  get fleet(): FleetHandle {
    return this;
  }

  get processes(): readonly LabProcess[] {
    return [...(this.#tracker ? [this.#tracker] : []), ...this.#daemons.values()];
  }

  async start(): Promise<RunningSystem> {
    const { nodes, server, say } = this.#run;
    this.#keyFile = await writeFleetKey(this.#dir);
    const listen = `${server.address}:${trackerPort}`;
    const flags = ['--listen', listen, '--fleet-key-file', this.#keyFile];
    this.#tracker = server.start([process.execPath, productMain, 'tracker', ...flags], {
      logFile: join(this.#dir, 'tracker.log'),
    });
    await this.#compile();
    say(`starting ${nodes.length} daemons`);
    const [first, ...others] = nodes;
    if (first) await this.#startNode(first);
    await this.#wishes.seed?.();
    await inBatches(others, 6, (node) => this.#startNode(node));
    say('waiting until each daemon knows all members');
    await inBatches(nodes, 4, (node) => this.#knowsAll(node));
    await this.#atRest();
    return this;
  }

  async busiestOwner(): Promise<BusyOwner | undefined> {
    let best: (BusyOwner & { left: number }) | undefined;
    await inBatches(this.#run.nodes, 6, async (node) => {
      const status = await statusOf(node);
      const led = status?.flights.filter(({ source }) => source === 'upstream') ?? [];
      for (const flight of led) {
        const left = (flight.size ?? 0) - flight.bytes;
        // Some bytes are already passed on: it is killed in mid-file, not before it.
        if (flight.bytes < 256 * 1024) continue;
        const requests = status?.counters['upstream.requests.elected'] ?? 0;
        if (left > (best?.left ?? 0)) best = { node, flights: led.length, requests, left };
      }
    });
    return best;
  }

  async blames(): Promise<string[]> {
    const told = new Set<string>();
    const alive = this.#run.nodes.filter((node) => !node.dead);
    await inBatches(alive, 6, async (node) => {
      for (const { name, fault } of (await statusOf(node))?.blames ?? []) {
        told.add(`${name} ${fault}`);
      }
    });
    return [...told].sort();
  }

  async killDaemon(node: LabNode): Promise<void> {
    const daemon = this.#daemons.get(node);
    if (!daemon) return;
    if (!this.#wishes.heldSockets) return daemon.stop('SIGKILL');
    daemon.usage();
    const [, ...family] = treeOf(daemon.child.pid ?? -1);
    for (const pid of family) process.kill(pid, 'SIGKILL');
  }

  async killTracker(): Promise<void> {
    await this.#tracker?.stop('SIGKILL');
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((each) => each.stop('SIGTERM', 3000)));
  }

  /** As on machines where a daemon ran before: its clean end leaves compiled code for the next. */
  async #compile(): Promise<void> {
    const { server } = this.#run;
    const state = join(this.#dir, 'compile');
    await mkdir(state, { recursive: true });
    const command = [...nodeCommand, productMain, 'run', '--state', state];
    const logFile = `${state}.log`;
    const daemon = server.start([...command, '--apt-listen', '127.0.0.1:3142'], { logFile });
    const serves = async () => (await server.fetch(statusUrl)) !== undefined;
    await waitFor('a daemon on the server', serves, 60_000, 100);
    await daemon.stop('SIGTERM', 5000);
  }

  async #startNode(node: LabNode): Promise<void> {
    const state = join(this.#dir, node.host.name);
    await mkdir(state, { recursive: true });
    // A copy each, as on machines of their own.
    const keyFile = join(state, 'fleet.key');
    await copyFile(this.#keyFile, keyFile);
    const logFile = `${state}.log`;
    const daemon = node.host.start(this.#command(node, join(state, 'state'), keyFile), {
      env: node.apt.env,
      logFile,
    });
    this.#daemons.set(node, daemon);
    const serves = async () => {
      if (!daemon.running) throw new Error(`debherd ended at its start: ${await tail(logFile)}`);
      return (await statusOf(node)) !== undefined;
    };
    // Many start on few cores: each question costs time that the start needs.
    await waitFor(`debherd on ${node.host.name}`, serves, 60_000, 300).catch(async (error) => {
      throw new Error(`${error.message}; its log: ${await tail(logFile)}`);
    });
  }

  #command(node: LabNode, state: string, keyFile: string): string[] {
    const { profile } = this.#run.options;
    const corrupt = this.#wishes.corruptNode === node.index;
    const profiled = profile !== undefined && node.index <= 2;
    const command = [
      ...nodeCommand,
      ...(profiled ? ['--cpu-prof', `--cpu-prof-dir=${profile}`] : []),
      ...[corrupt ? corruptMain : productMain, 'run'],
      ...['--apt-listen', '127.0.0.1:3142'],
      ...['--peer-listen', `${node.host.address}:3143`],
      ...['--state', state],
      ...['--tracker', `https://${this.#run.server.address}:${trackerPort}`],
      ...['--fleet-key-file', keyFile],
      ...['--name', node.host.name],
      ...['--apt-sources', node.apt.sourcesDir],
      ...['--apt-lists', node.apt.listsDir],
      ...['--apt-archives', node.apt.archivesDir],
    ];
    if (!this.#wishes.heldSockets) return command;
    return ['perl', holdSocket, 'ended', '127.0.0.1', '3142', ...command];
  }

  /** As daemons that have run for a while: what a start takes is not what a rollout takes. */
  async #atRest(): Promise<void> {
    const cpuSeconds = () => this.processes.reduce((sum, each) => sum + each.usage().cpuSeconds, 0);
    let before = Number.NEGATIVE_INFINITY;
    const atRest = async () => {
      const now = cpuSeconds();
      const quiet = now - before < REST_CORES * this.processes.length * (REST_MS / 1000);
      before = now;
      return quiet;
    };
    await waitFor('the rest of the daemons', atRest, 60_000, REST_MS);
  }

  #knowsAll(node: LabNode): Promise<void> {
    const wanted = this.#run.nodes.length;
    const what = `the member list of ${node.host.name}`;
    return waitFor(
      what,
      async () => (await statusOf(node))?.members.length === wanted,
      60_000,
      500,
    );
  }
}

/** What machines get with the probe, but the probe: the lab names the proxy. */
function deployedAptConfig(): Record<string, string> {
  const snippet = readFileSync(fileAt('../../../deploy/apt/30debherd'), 'utf8');
  const lines = [...snippet.matchAll(/^([\w:-]+) "(.*)";$/gm)].map(([, key, value]) => [
    key,
    value,
  ]);
  const { 'Acquire::http::Proxy-Auto-Detect': _probe, ...rest } = Object.fromEntries(lines);
  return rest;
}

async function statusOf(node: LabNode): Promise<StatusReport | undefined> {
  const text = await node.host.fetch(statusUrl);
  return text === undefined ? undefined : (JSON.parse(text) as StatusReport);
}

async function tail(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => '')).trim().slice(-1000);
}
