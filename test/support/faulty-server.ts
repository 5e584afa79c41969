// A real HTTP server on loopback whose answers a test scripts, one handler per request.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Handler = (req: IncomingMessage, res: ServerResponse) => void;

export interface FaultyServer {
  readonly host: string;
  readonly url: string;
  /** What each request asked for, in order. */
  readonly requests: { url: string; headers: IncomingMessage['headers'] }[];
  /** Most requests under way at one moment. */
  peak(): number;
  close(): Promise<void>;
}

/** Handlers are used one after the other; the last one answers all further requests. */
export async function faultyServer(...handlers: Handler[]): Promise<FaultyServer> {
  const requests: FaultyServer['requests'] = [];
  let running = 0;
  let peak = 0;
  const server = createServer((req, res) => {
    running++;
    peak = Math.max(peak, running);
    res.on('close', () => running--);
    requests.push({ url: req.url ?? '', headers: req.headers });
    handlers[Math.min(requests.length, handlers.length) - 1]?.(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    url: `http://${host}`,
    requests,
    peak: () => peak,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers `body`, honouring `Range: bytes=N-`. */
export function serve(body: Buffer, headers: Record<string, string> = {}): Handler {
  return (req, res) => {
    const start = Number(/^bytes=(\d+)-$/.exec(req.headers.range ?? '')?.[1] ?? 0);
    const range = `bytes ${start}-${body.length - 1}/${body.length}`;
    res.writeHead(start > 0 ? 206 : 200, {
      ...headers,
      'content-length': body.length - start,
      ...(start > 0 ? { 'content-range': range } : {}),
    });
    res.end(body.subarray(start));
  };
}

/** Announces all of `body`, sends `bytes` of it, then breaks the connection. */
export function breakAfter(
  body: Buffer,
  bytes: number,
  headers: Record<string, string> = {},
): Handler {
  return (_req, res) => {
    res.writeHead(200, { ...headers, 'content-length': body.length });
    res.write(body.subarray(0, bytes), () => res.socket?.destroySoon());
  };
}

/** Announces all of `body`, sends `bytes` of it, then nothing more. */
export function stallAfter(body: Buffer, bytes: number): Handler {
  return (_req, res) => {
    res.writeHead(200, { 'content-length': body.length });
    res.write(body.subarray(0, bytes));
  };
}

export function answer(status: number, headers: Record<string, string> = {}, body = ''): Handler {
  return (_req, res) => {
    res.writeHead(status, headers);
    res.end(body);
  };
}

export function never(): void {}

export function reset(req: IncomingMessage): void {
  req.socket.resetAndDestroy();
}
