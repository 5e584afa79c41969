// CONNECT for local clients, to port 443: bytes that nobody sees and nobody shares.
import { STATUS_CODES } from 'node:http';
import { connect, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Counters } from '../metrics/counters.ts';
import type { Clock } from '../platform/clock.ts';
import { guardedLookup, type ResolveAll } from '../transfer/upstream/guarded-lookup.ts';
import { failureOf } from '../transfer/upstream/upstream-failure.ts';
import type { UpstreamGuard } from '../transfer/upstream/upstream-guard.ts';
import { isLoopback } from '../wire/addresses.ts';

export interface TunnelDeps {
  readonly guard: UpstreamGuard;
  readonly counters: Counters;
  readonly clock: Clock;
  /** Instead of the system's resolver, for tests. */
  readonly resolve?: ResolveAll;
}

export interface TunnelOptions {
  readonly ports: readonly number[];
  readonly connectTimeoutMs: number;
  /** More at once are refused with 503. */
  readonly tunnelsMax: number;
}

export const tunnelDefaults: TunnelOptions = {
  ports: [443],
  connectTimeoutMs: 10_000,
  tunnelsMax: 256,
};

export class Tunnel {
  readonly #deps: TunnelDeps;
  readonly #options: TunnelOptions;
  readonly #open = new Set<Duplex>();

  constructor(deps: TunnelDeps, options: Partial<TunnelOptions> = {}) {
    this.#deps = deps;
    this.#options = { ...tunnelDefaults, ...options };
  }

  open(host: string, port: number, client: Duplex, head: Buffer): void {
    client.on('error', () => client.destroy());
    const url = URL.parse(`https://${host.includes(':') ? `[${host}]` : host}:${port}/`);
    const refusal = this.#refusal(url, port, client);
    if (url === null || refusal !== undefined) {
      const [status, reason] = refusal ?? [400, 'bad host'];
      refuse(client, status, reason);
      return;
    }
    this.#open.add(client);
    client.once('close', () => this.#open.delete(client));
    const lookup = guardedLookup(
      (address) => this.#deps.guard.address(url, address),
      this.#deps.resolve,
    );
    const server = connect({ host, port, lookup, autoSelectFamily: true, allowHalfOpen: true });
    this.#connectThenPipe(server, client, head, url.host);
  }

  close(): void {
    for (const client of this.#open) client.destroy();
  }

  #refusal(url: URL | null, port: number, client: Duplex): [number, string] | undefined {
    const { ports, tunnelsMax } = this.#options;
    const address = client instanceof Socket ? client.remoteAddress : undefined;
    if (address === undefined || !isLoopback(address)) {
      return [403, 'CONNECT is for clients on this machine'];
    }
    if (url === null) return [400, 'bad host'];
    if (!ports.includes(port)) return [403, `CONNECT to port ${port} is refused`];
    const reason = this.#deps.guard.url(url);
    if (reason !== undefined) return [403, reason];
    return this.#open.size >= tunnelsMax ? [503, 'too many tunnels are open'] : undefined;
  }

  #connectThenPipe(server: Socket, client: Duplex, head: Buffer, host: string): void {
    let connected = false;
    const late = Object.assign(new Error('timeout'), { code: 'UND_ERR_CONNECT_TIMEOUT' });
    const timer = this.#deps.clock.after(this.#options.connectTimeoutMs, () =>
      server.destroy(late),
    );
    client.once('close', () => server.destroy());
    server.once('close', (hadError) => {
      timer.cancel();
      if (connected && hadError) client.destroy();
    });
    server.on('error', (error) => {
      if (connected) return;
      const { status, message } = failureOf(error, host).error;
      refuse(client, status, message);
    });
    server.once('connect', () => {
      connected = true;
      timer.cancel();
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) server.write(head);
      server.on('data', (chunk: Buffer) => {
        this.#deps.counters.add('received.bytes.tunnel', chunk.length);
      });
      server.pipe(client);
      client.pipe(server);
    });
  }
}

function refuse(client: Duplex, status: number, reason: string): void {
  const line = `debherd: ${reason}\n`;
  client.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(line)}\r\nConnection: close\r\n\r\n${line}`,
  );
}
