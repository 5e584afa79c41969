// The probe that apt asks for its proxy, with real apt: through the daemon when it answers,
// directly when it does not. Where it serves, a plain HTTP server stands for the daemon.
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { holdDaemon } from '../fixtures/held-daemon.ts';

const PROBE = fileURLToPath(new URL('../../deploy/apt/apt-proxy-detect', import.meta.url));
const SNIPPET = fileURLToPath(new URL('../../deploy/apt/30debherd', import.meta.url));
// Loopback, but not one of the names that mean "this very machine" to the probe.
const ARCHIVE_HOST = '127.0.0.2';
const URI = 'http://mirror.example/debian/dists/stable/InRelease';

let folder: string;
let servers: Server[];

beforeEach(async () => {
  servers = [];
  folder = await mkdtemp(join(tmpdir(), 'debherd-probe-'));
  // apt asks the probe as _apt, which must be able to reach it.
  await chmod(folder, 0o755);
  await copyFile(PROBE, join(folder, 'probe'));
  for (const path of ['lists/partial', 'cache/archives/partial']) {
    await mkdir(join(folder, path), { recursive: true });
  }
});

afterEach(async () => {
  for (const server of servers) server.close();
  await rm(folder, { recursive: true });
});

describe('apt-get update', () => {
  test('goes through the daemon that answers, and https sources do not', async () => {
    const archive = await startArchive(ARCHIVE_HOST);
    const daemon = await startArchive('127.0.0.1');
    const tls = await startArchive(ARCHIVE_HOST);
    const sources = [`http://${archive.address}/a/`, `https://${tls.address}/b/`];
    const { code, output } = await aptUpdate(sources, daemon.address);
    expect(code, output).toBe(0);
    expect(output).toContain(`http://${archive.address}/a ./ Packages`);
    expect(archive.asked).toEqual([]);
    expect(daemon.asked).toContain(`GET http://${archive.address}/a/./Packages`);
    expect(daemon.asked.filter((line) => line.includes(tls.address))).toEqual([]);
  });

  test('goes to the archive when nothing listens', async () => {
    const archive = await startArchive(ARCHIVE_HOST);
    const { code, output } = await aptUpdate([`http://${archive.address}/a/`], await freeAddress());
    expect(code, output).toBe(0);
    expect(output).not.toMatch(/^[EW]:/m);
    expect(archive.asked).toContain('GET /a/./Packages');
  });

  test('goes to the archive when the port is open and nobody answers', async () => {
    const archive = await startArchive(ARCHIVE_HOST);
    const silent = await startTcp(() => {});
    const { code, output } = await aptUpdate([`http://${archive.address}/a/`], silent);
    expect(code, output).toBe(0);
    expect(output).not.toMatch(/^[EW]:/m);
    expect(archive.asked).toContain('GET /a/./Packages');
  });

  test('goes to the archive while the daemon has a bad configuration', async () => {
    const archive = await startArchive(ARCHIVE_HOST);
    const daemon = await holdDaemon({ address: '127.0.0.1', port: 0 }, ['--cache-max', 'lots']);
    try {
      await daemon.start();
      const address = `127.0.0.1:${daemon.port}`;
      // It is there, and stays: its answer is what sends apt away.
      const answer = await fetch(`http://${address}/`);
      expect([answer.status, await answer.text()]).toEqual([
        503,
        expect.stringMatching(/^debherd cannot start: bad value "lots" for cache-max .*\n$/),
      ]);
      const { code, output } = await aptUpdate([`http://${archive.address}/a/`], address);
      expect(code, output).toBe(0);
      expect(output).not.toMatch(/^[EW]:/m);
      expect(archive.asked).toContain('GET /a/./Packages');
    } finally {
      await daemon.close();
    }
  });
});

describe('the probe', () => {
  test('names the daemon, on the port that its units own', async () => {
    const daemon = await startArchive('127.0.0.1');
    expect(await ask(URI, daemon.address)).toEqual(`http://${daemon.address}\n`);
    expect(await readFile(PROBE, 'utf8')).toContain("'127.0.0.1:3142'");
  });

  test.each([
    ['an open port that closes at once', (socket: Socket) => socket.destroy()],
    ['something else than HTTP', (socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ['half an answer', (socket: Socket) => socket.end('HTTP/1.1 20')],
    ['a daemon that cannot start', (socket: Socket) => socket.end('HTTP/1.1 503 No\r\n\r\n')],
    ['a web server', (socket: Socket) => socket.end('HTTP/1.1 404 Not Found\r\n\r\n')],
  ])('takes %s for no daemon', async (_what, serve) => {
    expect(await ask(URI, await startTcp(serve))).toBe('DIRECT\n');
  });

  test.each(['', 'nonsense', '999.1.1.1:80', 'localhost:80'])(
    'says DIRECT at a bad address: "%s"',
    async (address) => {
      expect(await ask(URI, address)).toBe('DIRECT\n');
    },
  );

  test.each([
    'http://localhost/x',
    'http://127.0.0.1:8080/x',
    'http://[::1]/x',
    'http://LOCALHOST',
  ])('keeps an archive of this very machine off the fleet: %s', async (uri) => {
    const daemon = await startArchive('127.0.0.1');
    expect(await ask(uri, daemon.address)).toBe('DIRECT\n');
    expect(daemon.asked).toEqual([]);
    expect(await ask('http://localhost.example/x', daemon.address)).not.toBe('DIRECT\n');
  });

  test('takes a few milliseconds of a core', async () => {
    const daemon = await startArchive('127.0.0.1');
    const probes = 10;
    const script = `for i in $(seq ${probes}); do "$@" > /dev/null; done; times`;
    const variables = { DEBHERD_APT_LISTEN: daemon.address };
    const { output } = await execute('sh', ['-c', script, 'sh', PROBE, URI], variables);
    // "0m0.05s 0m0.03s": user and system time of the shell, then of its children.
    const [user = 0, system = 0] = [...(output.split('\n')[1] ?? '').matchAll(/m([\d.]+)s/g)].map(
      ([, seconds]) => 1000 * Number(seconds),
    );
    expect(daemon.probed).toBe(probes);
    // Measured 8 ms. Time on the clock would be that of all that runs on this machine.
    expect((user + system) / probes).toBeLessThan(30);
  });

  test('is what the snippet names', async () => {
    const conf = await execute('apt-config', ['-c', SNIPPET, 'dump', '--format', '%f=%v%n']);
    expect(conf.output).toContain(
      'Acquire::http::Proxy-Auto-Detect=/usr/share/debherd/apt-proxy-detect\n',
    );
  });
});

/** The probe's answer; fails on an exit code, which apt would take for an error. */
async function ask(uri: string, daemon: string): Promise<string> {
  const { code, output } = await execute(PROBE, [uri], { DEBHERD_APT_LISTEN: daemon });
  expect(code).toBe(0);
  return output;
}

async function aptUpdate(uris: readonly string[], daemon: string) {
  const list = uris.map((uri) => `deb [trusted=yes] ${uri} ./\n`);
  await writeFile(join(folder, 'sources.list'), list.join(''));
  const settings = {
    'Dir::Etc::SourceList': join(folder, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(folder, 'lists'),
    'Dir::Cache': join(folder, 'cache'),
    'Acquire::Languages': 'none',
    'Acquire::Retries': '0',
    'Acquire::http::Proxy-Auto-Detect': join(folder, 'probe'),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  return execute('apt-get', [...options, 'update'], { DEBHERD_APT_LISTEN: daemon });
}

function execute(file: string, args: readonly string[], variables: NodeJS.ProcessEnv = {}) {
  const { http_proxy: _, ...inherited } = process.env;
  const env = { ...inherited, LC_ALL: 'C.UTF-8', ...variables };
  return new Promise<{ code: number; output: string }>((resolve) => {
    execFile(file, args, { env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, output: stdout + stderr });
    });
  });
}

/**
 * An unsigned archive without packages, which also answers as a proxy and to the probe; notes who
 * asks for what.
 */
async function startArchive(host: string) {
  const notes = { address: '', asked: [] as string[], probed: 0 };
  const server = createHttpServer(({ method, url = '' }, response) => {
    if (method === 'GET') notes.asked.push(`${method} ${url}`);
    if (method === 'HEAD' && url === '/') notes.probed++;
    response.writeHead(url === '/' || url.endsWith('/Packages') ? 200 : 404).end();
  });
  notes.address = await listen(server, host);
  return notes;
}

function startTcp(serve: (socket: Socket) => void): Promise<string> {
  return listen(
    createServer((socket) => void serve(socket.on('error', () => {}))),
    '127.0.0.1',
  );
}

async function listen(server: Server, host: string): Promise<string> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return `${host}:${(server.address() as AddressInfo).port}`;
}

/** An address at which nothing listens. */
async function freeAddress(): Promise<string> {
  const server = createServer();
  const address = await listen(server, '127.0.0.1');
  await new Promise((resolve) => server.close(resolve));
  return address;
}
