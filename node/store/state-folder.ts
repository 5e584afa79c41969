// The state folder: made when missing, owned by one process at a time, with the node's own id.
import { mkdir, open, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { HerdError, reasonOf } from '../errors.ts';
import type { Random } from '../platform/random.ts';

const idPattern = /^[0-9a-f]{40}$/;

export interface StateFolder {
  /** Absolute. */
  readonly path: string;
  /** 40 hexadecimal characters, random, the same for as long as the folder lives. */
  readonly id: string;
  /** Lets another process have the folder. */
  close(): Promise<void>;
}

/**
 * Opens the folder for this process alone. Throws HerdError INTERNAL with one line that names the
 * folder when it cannot be made or written, or belongs to a running process.
 */
export async function openStateFolder(
  deps: { random: Random },
  options: { path: string },
): Promise<StateFolder> {
  const path = resolve(options.path);
  await makeWritable(path);
  const lock = await lockFolder(path);
  try {
    await writeFile(join(path, 'pid'), `${process.pid}\n`);
    const id = await ownId(deps.random, path);
    return { path, id, close: () => release(lock, path) };
  } catch (error) {
    await release(lock, path);
    throw failure(path, error);
  }
}

async function makeWritable(path: string): Promise<void> {
  try {
    await makeFolders(path);
    const probe = join(path, `.write-probe-${process.pid}`);
    await (await open(probe, 'w')).close();
    await unlink(probe);
  } catch (error) {
    throw failure(path, error);
  }
}

// Node's recursive mkdir tries for ever where a folder is there in which none can be made (/proc).
async function makeFolders(path: string): Promise<void> {
  const make = () =>
    mkdir(path, { mode: 0o750 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  try {
    await make();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeFolders(dirname(path));
    await make();
  }
}

// A name in Linux's abstract socket namespace (unix(7)) is taken by one process and freed by the
// kernel however that process ends; Node has no flock(2).
async function lockFolder(path: string): Promise<Server> {
  const { dev, ino } = await stat(path, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve: taken, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(`\0debherd-state-${dev}-${ino}`, taken);
  server.unref();
  try {
    await promise;
    return server;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw failure(path, error);
    const pid = await readFile(join(path, 'pid'), 'latin1').catch(() => '');
    const who = /^\d+$/.test(pid.trim()) ? ` (process ${pid.trim()})` : '';
    throw new HerdError(
      'INTERNAL',
      `state folder ${path} is in use by another debherd${who}: stop it or choose another --state`,
    );
  }
}

async function ownId(random: Random, path: string): Promise<string> {
  const file = join(path, 'id');
  const known = await readFile(file, 'latin1').catch(() => '');
  if (idPattern.test(known.trim())) return known.trim();
  const id = random.bytes(20).toString('hex');
  await writeFile(`${file}.new`, `${id}\n`);
  await rename(`${file}.new`, file);
  return id;
}

async function release(lock: Server, path: string): Promise<void> {
  await unlink(join(path, 'pid')).catch(() => {});
  await new Promise<void>((done) => lock.close(() => done()));
}

function failure(path: string, error: unknown): HerdError {
  if (error instanceof HerdError) return error;
  const reason = reasonOf(error);
  return new HerdError(
    'INTERNAL',
    `state folder ${path} is not writable: ${reason}; give it to this user or set another`,
    { cause: error },
  );
}
