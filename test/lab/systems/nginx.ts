// nginx as a caching proxy with its lock, the way guides for apt set it up: one fetch per file,
// everyone else waits for it, indexes are revalidated, packages kept.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabRun, System } from '../run.ts';
import { waitForPort } from './server.ts';

export const nginx: System = {
  name: 'nginx',
  packages: ['nginx-light'],
  proxy: (server) => `http://${server}:3142`,
  async start(run: LabRun) {
    const dir = join(run.dir, 'nginx');
    await mkdir(dir, { recursive: true });
    const config = join(dir, 'nginx.conf');
    await writeFile(config, configText(dir, run.upstream.host.address));
    const server = run.server.start(['nginx', '-c', config], { logFile: join(dir, 'out') });
    await waitForPort(run.server, 3142);
    return { processes: [server], stop: () => server.stop('SIGQUIT', 1000) };
  },
};

/** The lock outlasts the longest fetch: its default of 5 s lets duplicates through. */
function configText(dir: string, upstream: string): string {
  return `daemon off;
user root;
worker_processes auto;
pid ${dir}/pid;
error_log ${dir}/error.log;
worker_rlimit_nofile 65536;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 75;
  keepalive_requests 100000;
  proxy_cache_path ${dir}/cache levels=1:2 keys_zone=apt:32m max_size=50g inactive=60d
                   use_temp_path=off;
  upstream archive { server ${upstream}:80; keepalive 32; }
  server {
    listen 3142 backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_read_timeout 600s;
    proxy_cache apt;
    proxy_cache_key $host$uri;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 600s;
    proxy_cache_lock_age 600s;
    proxy_cache_revalidate on;
    proxy_cache_use_stale error timeout updating http_502 http_503 http_504;
    location ~ (\\.deb|/by-hash/.*)$ {
      proxy_cache_valid 200 60d;
      proxy_ignore_headers Cache-Control Expires;
      proxy_pass http://archive;
    }
    location / {
      proxy_cache_valid 200 30s;
      proxy_pass http://archive;
    }
  }
}
`;
}
