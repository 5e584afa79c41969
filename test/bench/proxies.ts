// The caches that an administrator would have instead, each with a state and a port of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../fixtures/ports.ts';
import { adopt } from '../fixtures/process.ts';

export interface CachingProxy {
  /** host:port */
  readonly address: string;
  stop(): Promise<void>;
}

/** nginx with proxy_cache; `upstream` is host:port. */
export async function startNginxCache(dir: string, upstream: string): Promise<CachingProxy> {
  const port = await freePort();
  await mkdir(dir, { recursive: true });
  const config = join(dir, 'nginx.conf');
  await writeFile(config, nginxConfig(dir, port, upstream));
  return await launch(['nginx', '-p', dir, '-c', config], port, 'SIGQUIT');
}

function nginxConfig(dir: string, port: number, upstream: string): string {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(dir, name)};`)
    .join(' ');
  return `daemon off; worker_processes auto; pid ${join(dir, 'pid')};
user root; error_log ${join(dir, 'error.log')};
worker_rlimit_nofile 65536;
events { worker_connections 8192; }
http { access_log off; sendfile on; tcp_nopush on; ${paths}
  proxy_cache_path ${join(dir, 'cache')} levels=1:2 keys_zone=apt:32m inactive=60d
                   use_temp_path=off;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_cache apt; proxy_cache_key $host$uri; proxy_cache_valid 200 60d; proxy_cache_lock on;
    location / { proxy_pass http://${upstream}; proxy_set_header Host $host; }
  } }`;
}

/** apt-cacher-ng with its package's configuration, allowed to ask any port. */
export async function startAptCacherNg(dir: string): Promise<CachingProxy> {
  const port = await lowPort();
  for (const name of ['cache', 'log']) await mkdir(join(dir, name), { recursive: true });
  const settings = {
    CacheDir: join(dir, 'cache'),
    LogDir: join(dir, 'log'),
    PidFile: join(dir, 'pid'),
    SocketPath: join(dir, 'socket'),
    BindAddress: '127.0.0.1',
    Port: String(port),
    AllowUserPorts: '0',
    ForeGround: '1',
  };
  const args = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  return await launch(['apt-cacher-ng', '-c', '/etc/apt-cacher-ng', ...args], port, 'SIGTERM');
}

/** apt-cacher-ng reads its port as a signed 16-bit number, and the kernel gives higher ones. */
export async function lowPort(): Promise<number> {
  for (let port = 20_000 + (process.pid % 10_000); ; port++) if (await isFree(port)) return port;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

async function launch(
  [program = '', ...args]: readonly string[],
  port: number,
  signal: NodeJS.Signals,
): Promise<CachingProxy> {
  const child = spawn(program, args, { stdio: 'ignore' });
  adopt(child);
  await accepting(port, child, program);
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await ended;
    clearTimeout(timer);
  };
  return { address: `127.0.0.1:${port}`, stop };
}

async function accepting(port: number, child: ChildProcess, program: string): Promise<void> {
  for (let turn = 0; turn < 400; turn++) {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await sleep(25);
  }
  throw new Error(`${program} does not listen`);
}
