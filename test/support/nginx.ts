// A private nginx that serves the files of a folder, to measure against.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';

export interface Nginx {
  /** host:port */
  readonly address: string;
  stop(): Promise<void>;
}

export async function startNginx(prefix: string, root: string, port: number): Promise<Nginx> {
  await mkdir(join(prefix, 'logs'), { recursive: true });
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(prefix, name)};`)
    .join(' ');
  const config = `daemon off; worker_processes auto; pid ${join(prefix, 'pid')};
user root; error_log ${join(prefix, 'logs/error.log')};
events { worker_connections 4096; }
http { access_log off; sendfile on; tcp_nopush on; ${paths}
  server { listen 127.0.0.1:${port} backlog=4096; root ${root}; } }`;
  await writeFile(join(prefix, 'nginx.conf'), config);
  const child = spawn('nginx', ['-p', prefix, '-c', join(prefix, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await accepting(port, child);
  return {
    address: `127.0.0.1:${port}`,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGQUIT');
      await ended;
    },
  };
}

async function accepting(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}`);
    const socket = connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
