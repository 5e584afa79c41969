// The apt door: an HTTP proxy for apt and its pipelined requests, at the client's pace.
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { parseRequestTarget, type RequestTarget } from '../../apt/request-target.ts';
import type { Content, ContentRequest, Delivery } from '../../delivery/delivery.ts';
import { HerdError, reasonOf } from '../../errors.ts';
import type { Counters } from '../../metrics/counters.ts';
import type { Trace, Ways } from '../../metrics/ways.ts';
import { type Clock, withDeadline } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { type AnswerHead, answerHead } from './answer-head.ts';
import { AptConnection } from './apt-connection.ts';
import { sendBody, turnOf } from './send-body.ts';

/** Pages of this node (`/`, `/status.json`…); `path` has its query. */
export interface LocalPages {
  handle(req: IncomingMessage, res: ServerResponse, path: string): void;
}

/** Takes over the socket of a CONNECT request and answers it. */
export interface Tunnels {
  open(host: string, port: number, client: Duplex, head: Buffer): void;
}

export interface AptDoorDeps {
  readonly delivery: Delivery;
  readonly pages: LocalPages;
  readonly tunnels: Tunnels;
  readonly counters: Counters;
  readonly ways: Ways;
  readonly clock: Clock;
  readonly log: Log;
}

export interface AptDoorOptions {
  /** Where to listen, unless `fds` is given. Port 0: any. */
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  /** Listening sockets handed over by a service manager. */
  readonly fds?: readonly number[];
  /** An idle connection is kept so long; more than any client keeps its own. */
  readonly keepAliveMs?: number;
  /** A request line and its headers must be here within. */
  readonly headersTimeoutMs?: number;
}

type Traced = Pick<ContentRequest, 'url' | 'trace'>;
type UrlTarget = Extract<RequestTarget, { kind: 'url' }>;

const BACKLOG = 4096;
const HEADER_BYTES_MAX = 16 * 1024;
/** How long a client that sent garbage may go on sending before its connection is cut. */
const LINGER_MS = 2_000;

export class AptDoor {
  readonly #deps: AptDoorDeps;
  readonly #options: AptDoorOptions;
  readonly #connections = new Map<Duplex, AptConnection>();
  readonly #servers: Server[] = [];
  #closing = false;

  constructor(deps: AptDoorDeps, options: AptDoorOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Resolves when connections are accepted. Rejects with the system's error (EADDRINUSE…). */
  async listen(): Promise<void> {
    const { fds = [], listen } = this.#options;
    const places = fds.length > 0 ? fds.map((fd) => ({ fd })) : listen;
    try {
      for (const place of places) await this.#listenAt(place);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Addresses that are listened on. */
  addresses(): AddressInfo[] {
    return this.#servers.map((server) => server.address() as AddressInfo);
  }

  /** Accepts no more; running transfers get `graceMs` to end, then they are cut. */
  async close(graceMs = 0): Promise<void> {
    this.#closing = true;
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const connection of this.#connections.values()) {
      connection.whenIdle(() => connection.socket.end());
    }
    await withDeadline(this.#deps.clock, Promise.all(closed), graceMs, undefined);
    for (const connection of this.#connections.values()) connection.socket.destroy();
    await Promise.all(closed);
  }

  #listenAt(place: { fd: number } | { host: string; port: number }): Promise<void> {
    const server = this.#createServer();
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      const listening = () => {
        server.removeListener('error', reject);
        server.on('error', (error) => {
          this.#deps.log.warn({ reason: reasonOf(error) }, 'the apt door could not accept');
        });
        this.#servers.push(server);
        resolve();
      };
      // Beside a descriptor Node ignores a backlog among the options.
      if ('fd' in place) server.listen(place, BACKLOG, listening);
      else server.listen({ ...place, backlog: BACKLOG }, listening);
    });
  }

  #createServer(): Server {
    const { keepAliveMs = 600_000, headersTimeoutMs = 60_000 } = this.#options;
    const server = createServer({
      keepAliveTimeout: keepAliveMs,
      headersTimeout: headersTimeoutMs,
      requestTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.min(headersTimeoutMs, 30_000),
      maxHeaderSize: HEADER_BYTES_MAX,
      // An absolute-form target needs no Host; pages of this node check theirs.
      requireHostHeader: false,
    });
    server.on('connection', (socket) => {
      const closed = () => void this.#connections.delete(socket);
      this.#connections.set(socket, new AptConnection(socket, closed));
    });
    server.on('request', (req, res) => this.#request(req, res));
    server.on('connect', (req, socket, head) => this.#connect(req, socket, head));
    server.on('clientError', (error, socket) => this.#clientError(error, socket));
    return server;
  }

  #request(req: IncomingMessage, res: ServerResponse): void {
    const { method = '', url = '' } = req;
    if (this.#closing) res.setHeader('Connection', 'close');
    if (method !== 'GET' && method !== 'HEAD') {
      res.setHeader('Allow', 'GET, HEAD');
      res.setHeader('Connection', 'close');
      const error = new HerdError('METHOD_NOT_ALLOWED', `${method} is not for an apt proxy`);
      answerError(res, error);
      return;
    }
    const target = parseRequestTarget(method, url);
    if (target.kind === 'local') this.#deps.pages.handle(req, res, target.path);
    else if (target.kind === 'url') this.#begin(req, res, target);
    else answerError(res, new HerdError('BAD_REQUEST', reasonOfBad(target)));
  }

  #begin(req: IncomingMessage, res: ServerResponse, target: UrlTarget): void {
    const { url, credentials } = target;
    const { authorization = credentials, 'cache-control': cacheControl } = req.headers;
    const noCache = cacheControl?.includes('no-cache') ?? false;
    const secret = authorization === undefined ? {} : { authorization };
    const connection = this.#connections.get(req.socket);
    if (!connection) return;
    const { counters, delivery, ways } = this.#deps;
    counters.add('apt.requests');
    const request = { url, noCache, head: req.method === 'HEAD', ...secret };
    // Only where nothing runs: who has to wait may go, and would leave it open.
    const { idle } = connection;
    const atHand = idle ? delivery.atHand(request) : undefined;
    if (atHand && this.#answerNow(req, res, url, atHand)) return;
    const trace = ways.begin('apt', url);
    connection.begin((controller) => {
      const { signal } = controller;
      const found = idle ? atHand : delivery.atHand(request);
      if (found?.digest)
        trace.note({ what: 'stored', digest: found.digest, size: found.size ?? 0 });
      const arrived = () => connection.arrived(controller);
      void this.#deliver(req, res, { ...request, trace, signal }, found, arrived).finally(() =>
        connection.end(controller),
      );
    });
  }

  /** Answers without a promise, and closes `content`; false when something must be waited for. */
  #answerNow(req: IncomingMessage, res: ServerResponse, url: string, content: Content): boolean {
    // An earlier answer is on its way yet.
    if (res.socket === null) return false;
    const { ways } = this.#deps;
    try {
      const head = answerHead(req.headers, content);
      if (!writeAtOnce(req, res, content, head)) return false;
      ways.hit(url, content.digest ?? '', content.size ?? 0, head.status);
    } catch (error) {
      this.#failed(res, { url, trace: ways.begin('apt', url) }, error);
    }
    content.close();
    return true;
  }

  async #deliver(
    req: IncomingMessage,
    res: ServerResponse,
    request: ContentRequest,
    found: Content | undefined,
    arrived: () => void,
  ): Promise<void> {
    let content = found;
    try {
      content ??= await this.#deps.delivery.get(request);
      void content.arrived?.then(arrived);
      const head = await this.#answer(req, res, content, request.signal);
      noteAnswer(request.trace, head);
    } catch (error) {
      if (!request.signal.aborted) this.#failed(res, request, error);
      else request.trace?.note({ what: 'verdict', status: 'the client left' });
    } finally {
      content?.close();
    }
  }

  async #answer(
    req: IncomingMessage,
    res: ServerResponse,
    content: Content,
    signal: AbortSignal,
  ): Promise<AnswerHead> {
    const head = answerHead(req.headers, content);
    const turn = turnOf(res, signal);
    if (turn) await turn;
    if (writeAtOnce(req, res, content, head)) return head;
    const { status, headers, start, end } = head;
    const length = end === undefined ? undefined : end - start;
    const begin = () => void res.writeHead(status, headers);
    await sendBody(res, content.read(start, end, signal), length, signal, begin);
    return head;
  }

  #failed(res: ServerResponse, { url, trace }: Traced, error: unknown): void {
    const herdError = HerdError.of(error);
    const { code, status, message, tried } = herdError;
    const verdict = res.headersSent ? 'closed short' : status;
    trace?.note({ what: 'verdict', status: verdict, reason: message });
    if (status >= 500 || res.headersSent) {
      this.#deps.counters.add('apt.errors');
      const request = trace?.id;
      this.#deps.log.warn({ url, request, code, tried }, `not served to apt: ${message}`);
    }
    // Close short: what was sent stays right, and apt asks for the rest.
    if (res.headersSent) res.socket?.destroySoon();
    else answerError(res, herdError);
  }

  #connect(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const target = parseRequestTarget('CONNECT', req.url ?? '');
    const connection = this.#connections.get(socket);
    connection?.whenIdle(() => {
      if (target.kind !== 'connect') {
        this.#refuse(connection.socket, 400, reasonOfBad(target));
        return;
      }
      // Never ended: the tunnel is under way until the connection is closed.
      connection.begin(() => {
        this.#deps.tunnels.open(target.host, target.port, socket, head);
      });
    });
  }

  #clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    const connection = this.#connections.get(socket);
    if (!connection || error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
      // Half a request behind a long answer is the answer's fault: the client is not read then.
      if (connection.idle) this.#refuse(connection.socket, 408, 'the request did not come in time');
      return;
    }
    connection.whenIdle(() => {
      if (error.code === 'HPE_HEADER_OVERFLOW') {
        this.#refuse(connection.socket, 431, `more than ${HEADER_BYTES_MAX} bytes of headers`);
      } else {
        this.#refuse(
          connection.socket,
          400,
          `not an HTTP request (${error.code ?? error.message})`,
        );
      }
    });
  }

  /** Answers what is no request, and closes. */
  #refuse(socket: Socket, status: number, reason: string): void {
    if (!socket.writable) return;
    const line = `debherd: ${reason}\n`;
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
        `Content-Length: ${Buffer.byteLength(line)}\r\nConnection: close\r\n\r\n${line}`,
    );
    const timer = this.#deps.clock.after(LINGER_MS, () => socket.destroy());
    socket.once('close', () => timer.cancel());
  }
}

function noteAnswer(trace: Trace | undefined, { status, start, end }: AnswerHead): void {
  const bytes = end === undefined ? {} : { bytes: end - start };
  trace?.note({ what: 'verdict', status, ...bytes });
}

/** Writes an answer without a body, or with all of one that lies in memory; false for others. */
function writeAtOnce(
  req: IncomingMessage,
  res: ServerResponse,
  content: Content,
  { status, headers, start, end }: AnswerHead,
): boolean {
  if (status === 416) headers.push('Content-Length', '0');
  const empty = start === end || req.method === 'HEAD';
  const whole = start === 0 && end === content.size && content.whole !== undefined;
  if (!empty && !whole) return false;
  res.writeHead(status, headers).end(empty ? undefined : content.whole?.());
  return true;
}

function reasonOfBad(target: RequestTarget): string {
  return target.kind === 'bad' ? target.reason : 'the request target is not a URL';
}

/** The error's status with one line of text for a person. */
function answerError(res: ServerResponse, error: HerdError): void {
  const tried = error.tried.length > 0 ? ` (tried: ${error.tried.join('; ')})` : '';
  const line = Buffer.from(`debherd: ${error.message}${tried}\n`.replace(/[\r\n]+(?=.)/g, ' '));
  res.writeHead(error.status, [
    'Content-Type',
    'text/plain; charset=utf-8',
    'Content-Length',
    String(line.length),
  ]);
  res.end(line);
}
