// The tracker: members announce themselves and follow the list of all. Soft state, no data path.
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { HerdError, reasonOf } from '../node/errors.ts';
import type { Clock } from '../node/platform/clock.ts';
import { isEverywhere, reachableHost } from '../node/platform/everywhere.ts';
import type { Log } from '../node/platform/log.ts';
import type { Random } from '../node/platform/random.ts';
import type { Credentials } from '../node/wire/credentials.ts';
import {
  createServer,
  type HttpReply,
  type HttpRequest,
  type HttpServer,
  listenWidely,
} from '../node/wire/http-server.ts';
import { Followers } from './followers.ts';
import { announceIntervalMs, MemberTable, type TableEntry } from './member-table.ts';
import type { AnnounceAnswer, Announcement, Member, MemberChange } from './protocol.ts';
import { parseAnnouncement } from './validate.ts';

const SWEEP_MS = 500;

export interface TrackerDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface TrackerOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly credentials: Credentials;
  /** The newest that it speaks. */
  readonly protocol?: number;
}

/** `GET /v1/fleet`: the list with what each member last said of itself. */
export interface FleetReport {
  readonly tracker: string;
  readonly view: number;
  readonly members: readonly TableEntry[];
}

export interface Tracker {
  /** Where it listens, for `--tracker` of the members. */
  readonly url: string;
  /** The same for a member on this machine: over loopback where it listens everywhere. */
  readonly localUrl: string;
  readonly port: number;
  report(): FleetReport;
  close(): Promise<void>;
}

/** Listens, alone (`debherd tracker`) or inside a node. Throws the listener's own error. */
export async function startTracker(deps: TrackerDeps, options: TrackerOptions): Promise<Tracker> {
  const service = new TrackerService(deps, options);
  const server = createServer({ credentials: options.credentials });
  service.route(server);
  const url = await listenWidely(server, options);
  const port = Number(new URL(url).port);
  const loopback = options.host === '::' ? '[::1]' : reachableHost(options.host);
  return {
    url,
    localUrl: isEverywhere(options.host) ? `https://${loopback}:${port}` : url,
    port,
    report: () => service.report(),
    async close() {
      service.close();
      await server.close();
    },
  };
}

class TrackerService {
  readonly #deps: TrackerDeps;
  readonly #options: TrackerOptions;
  readonly #table: MemberTable;
  readonly #followers: Followers;
  readonly #sweep: { cancel(): void };
  // Open follow connections of each member id.
  readonly #following = new Map<string, number>();

  constructor(deps: TrackerDeps, options: TrackerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#table = new MemberTable({
      tracker: deps.random.bytes(8).toString('hex'),
      firstView: deps.clock.nowMs(),
    });
    this.#followers = new Followers({ table: this.#table, clock: deps.clock });
    this.#sweep = deps.clock.every(SWEEP_MS, () => {
      if (this.#table.expire(deps.clock.monotonicMs())) this.#followers.changed();
    });
  }

  route(server: HttpServer): void {
    server.post('/v1/announce', (request) => this.#announce(request));
    server.get('/v1/members', (request, reply) => this.#members(request, reply));
    server.get('/v1/fleet', () => this.report());
    server.setErrorHandler((error, _request, reply) => {
      const known = error instanceof HerdError ? error : badRequest(reasonOf(error));
      reply.code(known.status).send(known.toJSON());
    });
  }

  report(): FleetReport {
    const { tracker, view } = this.#table.fullList();
    return { tracker, view, members: this.#table.entries() };
  }

  close(): void {
    this.#sweep.cancel();
    this.#followers.close();
  }

  #announce(request: HttpRequest): AnnounceAnswer {
    const announcement = parseAnnouncement(request.body, this.#options.protocol);
    if (typeof announcement === 'string') throw badRequest(announcement);
    const remote = plainAddress(request.socket.remoteAddress ?? '');
    const member = this.#withAddress(announcement, remote);
    if (this.#table.announce(member, announcement.vitals, this.#deps.clock.monotonicMs())) {
      this.#followers.changed();
      const { id, name, address, port } = member;
      this.#deps.log.info({ id, name, address, port }, 'member announced');
    }
    return { address: member.address, intervalMs: announceIntervalMs(this.#table.size) };
  }

  #withAddress({ member }: Announcement, remote: string): Member {
    if (member.address !== '' && !isEverywhere(member.address)) return member;
    return { ...member, address: reachable(remote, this.#options.host) };
  }

  #members(request: HttpRequest, reply: HttpReply): HttpReply | MemberChange {
    const { follow, id } = request.query as { follow?: string; id?: string };
    if (follow !== '1') return this.#table.fullList();
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson' });
    this.#followers.add(reply.raw);
    if (id !== undefined) this.#track(id, reply.raw);
    return reply;
  }

  // A member that dies closes its connection, long before its announcements are missed.
  #track(id: string, stream: NodeJS.EventEmitter): void {
    this.#following.set(id, (this.#following.get(id) ?? 0) + 1);
    this.#table.clear(id);
    stream.once('close', () => {
      const left = (this.#following.get(id) ?? 1) - 1;
      if (left > 0) return void this.#following.set(id, left);
      this.#following.delete(id);
      this.#table.suspect(id, this.#deps.clock.monotonicMs());
    });
  }
}

function badRequest(message: string): HerdError {
  return new HerdError('BAD_REQUEST', message);
}

function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
}

// A node that hosts its tracker reaches it over loopback, where the others do not reach the node.
function reachable(remote: string, listenHost: string): string {
  const loopback = remote === '::1' || remote.startsWith('127.');
  if (!loopback || !isEverywhere(listenHost)) return remote;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outer = addresses.find(({ internal, address }) => !internal && isIPv4(address));
  return outer?.address ?? remote;
}
