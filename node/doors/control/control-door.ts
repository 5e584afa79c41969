// Verbs of this machine's administrators: HTTP on a Unix socket, whose mode says who they are.
import { chmod, lstat, mkdir, stat, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { HerdError, reasonOf } from '../../errors.ts';
import { createServer, type HttpServer } from '../../wire/http-server.ts';
import type { ControlDeps, Route } from './route.ts';
import { status } from './routes/status.ts';
import { controlSocket } from './socket.ts';

const routes: readonly Route[] = [status];

/** Of a socket's path: sun_path in unix(7), without its final NUL. */
const PATH_BYTES_MAX = 107;

export interface ControlDoorOptions {
  /** Made where it is missing; its parent must exist. */
  readonly folder: string;
}

export class ControlDoor {
  readonly #server: HttpServer;
  readonly path: string;

  private constructor(server: HttpServer, path: string) {
    this.#server = server;
    this.path = path;
  }

  /**
   * Listens for this user and the process's group. Throws HerdError INTERNAL with one line when the
   * socket cannot be made, or another daemon answers on it.
   */
  static async open(deps: ControlDeps, { folder }: ControlDoorOptions): Promise<ControlDoor> {
    const path = controlSocket(folder);
    const bytes = Buffer.byteLength(path);
    if (bytes > PATH_BYTES_MAX) {
      const mend = 'set runtime to a shorter path';
      throw unusable(folder, `the socket's path has ${bytes} bytes of ${PATH_BYTES_MAX}`, mend);
    }
    const server = controlServer(deps);
    try {
      await makeFolder(folder);
      await removeStale(path);
      await server.listen({ path });
      // Until here the folder keeps others out, or the umask: connect(2) needs a right to write.
      await chmod(path, 0o660);
    } catch (error) {
      await server.close();
      throw error instanceof HerdError ? error : unusable(folder, reasonOf(error));
    }
    return new ControlDoor(server, path);
  }

  /** Removes the socket. */
  async close(): Promise<void> {
    await this.#server.close();
  }
}

function controlServer(deps: ControlDeps): HttpServer {
  const server = createServer();
  server.setErrorHandler((error, _request, reply) => {
    const { code, status: statusCode, message } = HerdError.of(error);
    void reply.code(statusCode).send({ code, status: statusCode, message });
  });
  server.setNotFoundHandler((request) => {
    throw new HerdError('NOT_FOUND', `no verb ${request.method} ${request.url.slice(0, 100)}`);
  });
  for (const route of routes) route(server, deps);
  return server;
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { mode: 0o750 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const { mode } = await stat(folder);
  if (mode & 0o002) throw unusable(folder, 'every user may write in it');
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw unusable(dirname(path), `${path} is no socket`);
  if (await answers(path)) {
    throw unusable(
      dirname(path),
      'another debherd answers there',
      'stop it or set another runtime',
    );
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

const usually = 'set runtime to a folder that only this user may write';

function unusable(folder: string, reason: string, mend = usually): HerdError {
  return new HerdError('INTERNAL', `cannot use the runtime folder ${folder}: ${reason}; ${mend}`);
}
