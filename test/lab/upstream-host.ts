// The archive behind the WAN link: nginx serving files, its access log read as the count.
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host, LabProcess } from './host.ts';
import { waitFor } from './wait.ts';

export interface UpstreamCount {
  /** GETs and HEADs, 304 included. */
  requests: number;
  /** Body bytes sent. */
  bytes: number;
  /** Different paths that were answered with a body. */
  uniqueNames: number;
  /** Sum of their sizes. */
  uniqueBytes: number;
  /** The part of uniqueBytes that was sent at least once, as far as finished answers tell. */
  deliveredBytes: number;
  /** Answers other than 200, 206 and 304. */
  refusals: number;
}

export class UpstreamHost {
  readonly host: Host;
  readonly #root: string;
  readonly #dir: string;
  #process: LabProcess | undefined;
  #skip = 0;
  #unsent = 0;

  constructor(host: Host, root: string, dir: string) {
    this.host = host;
    this.#root = root;
    this.#dir = join(dir, 'upstream');
  }

  get url(): string {
    return `http://${this.host.address}`;
  }

  async start(): Promise<void> {
    await mkdir(this.#dir, { recursive: true });
    const config = join(this.#dir, 'nginx.conf');
    await writeFile(config, configText(this.#dir, this.#root));
    this.#process = this.host.start(['nginx', '-c', config], { logFile: join(this.#dir, 'out') });
    await waitFor('the upstream server', async () => {
      return (await this.host.run(['curl', '-s', '-o', '/dev/null', this.url])).code === 0;
    });
    await this.resetCount();
  }

  /** Forgets what was asked so far. */
  async resetCount(): Promise<void> {
    this.#skip = (await this.#logText()).length;
    this.#unsent = 0;
  }

  /** Ends what is still under way, so that the log holds all bytes: nginx writes at the end. */
  async settle(): Promise<void> {
    const queues = await this.host.run(['ss', '--tcp', '--no-header', 'sport', '=', ':80']);
    for (const line of queues.stdout.toString().split('\n')) {
      // State, receive queue, send queue: nginx has counted the latter, but nobody has got it.
      const [state = '', , queued = '0'] = line.split(/\s+/);
      const fin = /^(?:FIN-WAIT-1|LAST-ACK|CLOSING)$/.test(state) ? 1 : 0;
      this.#unsent += Math.max(0, Number(queued) - fin);
    }
    await this.host.run(['ss', '--kill', '--tcp', '--no-header', 'sport', '=', ':80']);
    await sleep(300);
  }

  async count(): Promise<UpstreamCount> {
    const lines = (await this.#logText()).slice(this.#skip).split('\n').filter(Boolean);
    const count = { ...nothing };
    const names = new Map<string, number>();
    for (const line of lines) {
      const [status, bytes, path] = line.split(' ');
      count.requests++;
      if (status === '200' || status === '206') {
        count.bytes += Number(bytes);
        const name = decodeURIComponent(path ?? '');
        names.set(name, (names.get(name) ?? 0) + Number(bytes));
      } else if (status !== '304') count.refusals++;
    }
    count.bytes -= this.#unsent;
    count.uniqueNames = names.size;
    for (const [name, sent] of names) {
      const size = await stat(join(this.#root, name)).then(
        (file) => file.size,
        () => 0,
      );
      count.uniqueBytes += size;
      count.deliveredBytes += Math.min(size, sent);
    }
    return count;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  #logText(): Promise<string> {
    return readFile(join(this.#dir, 'access.log'), 'utf8').catch(() => '');
  }
}

const nothing: UpstreamCount = {
  requests: 0,
  bytes: 0,
  uniqueNames: 0,
  uniqueBytes: 0,
  deliveredBytes: 0,
  refusals: 0,
};

function configText(dir: string, root: string): string {
  return `daemon off;
master_process off;
user root;
pid ${dir}/pid;
error_log ${dir}/error.log;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
  log_format count '$status $body_bytes_sent $uri';
  access_log ${dir}/access.log count;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  default_type application/octet-stream;
  sendfile on;
  keepalive_timeout 75;
  keepalive_requests 100000;
  server { listen 80 backlog=4096 sndbuf=128k; root ${root}; }
}
`;
}
