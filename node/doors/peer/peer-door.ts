// The peer port: what other members may ask of this node. All of it needs the fleet key.
import type { ServerResponse } from 'node:http';
import type { Member } from '../../../tracker/protocol.ts';
import type { PiecePool } from '../../content/piece-pool.ts';
import { HerdError, reasonOf } from '../../errors.ts';
import { letGo, type Supply } from '../../fetch/supply.ts';
import { PROTOCOL_VERSION } from '../../limits.ts';
import type { LinkRates } from '../../links/link-rates.ts';
import { type Trace, type Ways, wayIdOf } from '../../metrics/ways.ts';
import type { Names } from '../../names/names.ts';
import type { Log } from '../../platform/log.ts';
import type { Claims } from '../../serving/claims.ts';
import type { Supplies } from '../../serving/supplies.ts';
import type { Wants } from '../../serving/wants.ts';
import {
  claimOf,
  isKey,
  nameQueryOf,
  progressOf,
  wantOf,
} from '../../transfer/peer/peer-messages.ts';
import type { PieceRange } from '../../transfer/source.ts';
import type { Credentials } from '../../wire/credentials.ts';
import { frameSink } from '../../wire/frame-writer.ts';
import { encode, PIECES_TYPE } from '../../wire/frames.ts';
import {
  createServer,
  type HttpReply,
  type HttpRequest,
  type HttpServer,
} from '../../wire/http-server.ts';
import { protocolsOf } from '../../wire/protocol.ts';
import { QuietWatch } from '../../wire/quiet-watch.ts';
import { type WriterDeps, writePieces } from './piece-writer.ts';

/** Members keep connections at hand (transfer/peer/kept-connections.ts). */
const KEEP_ALIVE_MS = 24 * 3_600_000;
/** Of the watch over peers that take nothing (wire/frame-writer.ts). */
const TICK_MS = 1_000;

/** What is done for other members. */
export interface Serving {
  readonly wants: Pick<Wants, 'want' | 'progress'>;
  readonly supplies: Pick<Supplies, 'object' | 'enclosure'>;
  readonly claims: Pick<Claims, 'take'>;
  readonly names: Pick<Names, 'answer' | 'known'>;
}

interface PeerDoorDeps extends WriterDeps {
  readonly pool: PiecePool;
  readonly serving: Serving;
  readonly ways: Ways;
  readonly links: Pick<LinkRates, 'best'>;
  /** The members that this node reaches, for peers without a tracker. */
  readonly members: () => readonly Member[];
  readonly log: Log;
}

interface StreamDeps extends WriterDeps {
  readonly pool: PiecePool;
  readonly watch: QuietWatch;
}

interface PeerDoorOptions {
  readonly credentials: Credentials;
  /** The newest that this node speaks. */
  readonly protocol?: number;
}

export function createPeerDoor(deps: PeerDoorDeps, options: PeerDoorOptions): HttpServer {
  const server = createServer({ credentials: options.credentials, keepAliveMs: KEEP_ALIVE_MS });
  const protocols = protocolsOf(options.protocol ?? PROTOCOL_VERSION);
  const streaming = { ...deps, watch: new QuietWatch(deps, { tickMs: TICK_MS }) };
  server.addHook('onRequest', async (request) => {
    deps.counters.add('peer.requests');
    const version = Number(request.headers['debherd-protocol']);
    if (protocols.includes(version)) return;
    const spoken = protocols.join(' and ');
    const message = `protocol ${version || 'unknown'}: this member speaks ${spoken}`;
    throw new HerdError('BAD_REQUEST', message);
  });
  server.setErrorHandler((error, _request, reply) => {
    const known = wrap(error);
    void reply.code(known.status).send(known.toJSON());
  });
  route(server, deps, streaming);
  return server;
}

function route(server: HttpServer, deps: PeerDoorDeps, streaming: StreamDeps): void {
  const { serving, links, ways } = deps;
  const { wants, supplies, claims, names } = serving;
  const traceOf = (request: HttpRequest, what: string) =>
    ways.begin('peer', what, wayIdOf(request.headers['debherd-request']));
  server.post('/v1/want', async (request, reply) => {
    const want = wantOf(request.body);
    const trace = traceOf(request, want.url);
    const { digest, size } = want;
    trace.note({ what: 'name', as: 'fixed', digest, ...(size === undefined ? {} : { size }) });
    const verdict = await wants.want(want, trace);
    trace.note({ what: 'verdict', status: `${verdict.kind} to ${want.member.name}` });
    if (verdict.kind === 'elsewhere') return { elsewhere: verdict.source };
    if (verdict.kind === 'passed') return { passed: true };
    if (verdict.kind === 'redirect') return { redirect: verdict.owner };
    let complete = false;
    try {
      complete = await stream(streaming, reply, verdict.supply, { from: want.have }, { trace });
    } finally {
      verdict.served(complete);
    }
  });
  server.get('/v1/objects/:key', async (request, reply) => {
    const { key } = request.params as { key: string };
    const query = request.query as Record<string, string>;
    const range = { from: whole(query.from ?? '0'), ...(query.to ? { to: whole(query.to) } : {}) };
    const supply = isKey(key) ? await supplies.object(key) : undefined;
    if (!supply) throw new HerdError('NOT_FOUND', `no object ${key.slice(0, 64)} here`);
    await stream(streaming, reply, supply, range, { trace: traceOf(request, key) });
  });
  server.post('/v1/progress', async (request) => wants.progress(progressOf(request.body)));
  server.post('/v1/claim', async (request) => claims.take(claimOf(request.body)) ?? {});
  server.post('/v1/name', async (request, reply) => {
    const { url, noCache, onlyKnown, has } = nameQueryOf(request.body);
    const trace = traceOf(request, url);
    const answer = await (onlyKnown ? names.known(url) : names.answer(url, noCache, trace));
    trace.note({ what: 'verdict', status: answer.kind });
    const supply = has && (await supplies.enclosure(answer, has));
    if (!supply) return answer;
    await stream(streaming, reply, supply, { from: 0 }, { trace, first: encode.name(answer) });
  });
  server.get('/v1/hello', async () => ({ link: links.best }));
  server.get('/v1/members', async () => deps.members());
}

async function stream(
  deps: StreamDeps,
  reply: HttpReply,
  supply: Supply,
  range: PieceRange,
  { trace, first }: { readonly trace: Trace; readonly first?: Buffer },
): Promise<boolean> {
  reply.hijack();
  const response = reply.raw as ServerResponse;
  response.writeHead(200, { 'content-type': PIECES_TYPE });
  try {
    const sink = await frameSink(response, deps);
    if (first) await sink.write(first);
    const complete = await writePieces(deps, sink, supply, range);
    trace.note({ what: 'given', from: supply.kind, piece: range.from, complete });
    return complete;
  } finally {
    letGo(supply);
  }
}

function wrap(error: unknown): HerdError {
  const status = (error as { statusCode?: unknown }).statusCode;
  if (status === 400 || status === 413 || status === 415) {
    return new HerdError('BAD_REQUEST', reasonOf(error), { status });
  }
  return HerdError.of(error);
}

function whole(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new HerdError('BAD_REQUEST', `not a piece number: ${text.slice(0, 20)}`);
}
