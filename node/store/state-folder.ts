// The state folder: made when missing, owned by one process at a time, with the node's own id.
import { access, constants, mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { HerdError, reasonOf } from '../errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Random } from '../platform/random.ts';

const idPattern = /^[0-9a-f]{40}$/;

/** What one process has at a time; the kernel frees it however that process ends. */
interface Lock {
  close(): Promise<void>;
}

interface StateFolderDeps<L extends Lock> {
  readonly clock: Clock;
  readonly random: Random;
  /** Takes the lock that lies in the folder; undefined when another process has it. */
  lock(path: string): Promise<L | undefined>;
}

export interface StateFolder<L extends Lock> {
  /** Absolute. */
  readonly path: string;
  /** 40 hexadecimal characters, random, the same for as long as the folder lives. */
  readonly id: string;
  /** When it was opened, wall clock in ms, but larger each time, however that clock is set. */
  readonly epoch: number;
  readonly lock: L;
  /** Lets another process have the folder. */
  close(): Promise<void>;
}

/**
 * Opens the folder for this process alone: nothing is written before the lock is taken. Throws
 * HerdError INTERNAL with one line that names the folder when it cannot be made or written, or
 * belongs to a running process.
 */
export async function openStateFolder<L extends Lock>(
  deps: StateFolderDeps<L>,
  options: { path: string },
): Promise<StateFolder<L>> {
  const path = resolve(options.path);
  const lock = await lockFolder(deps, path).catch((error) => Promise.reject(failure(path, error)));
  if (lock === undefined) throw await inUse(path);
  const close = async () => {
    await unlink(join(path, 'pid')).catch(() => {});
    await lock.close();
  };
  try {
    await writeFile(join(path, 'pid'), `${process.pid}\n`);
    const id = await ownId(deps.random, path);
    const epoch = await nextEpoch(deps.clock, path);
    return { path, id, epoch, lock, close };
  } catch (error) {
    await close();
    throw failure(path, error);
  }
}

async function lockFolder<L extends Lock>({ lock }: StateFolderDeps<L>, path: string) {
  await makeFolders(path);
  // With the dot it must be a folder.
  await access(`${path}/.`, constants.W_OK | constants.X_OK);
  return await lock(path);
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

async function inUse(path: string): Promise<HerdError> {
  const pid = await readFile(join(path, 'pid'), 'latin1').catch(() => '');
  const who = /^\d+$/.test(pid.trim()) ? ` (process ${pid.trim()})` : '';
  return new HerdError(
    'INTERNAL',
    `state folder ${path} is in use by another debherd${who}: stop it or choose another --state`,
  );
}

async function ownId(random: Random, path: string): Promise<string> {
  const file = join(path, 'id');
  const known = await readFile(file, 'latin1').catch(() => '');
  if (idPattern.test(known.trim())) return known.trim();
  const id = random.bytes(20).toString('hex');
  await replaceFile(file, `${id}\n`);
  return id;
}

/** Other members take what has a smaller one for older news of this node. */
async function nextEpoch(clock: Clock, path: string): Promise<number> {
  const file = join(path, 'epoch');
  const last = Number(await readFile(file, 'latin1').catch(() => ''));
  const next = Math.max(clock.nowMs(), Number.isSafeInteger(last + 1) ? last + 1 : 0);
  await replaceFile(file, `${next}\n`);
  return next;
}

async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text);
  await rename(`${file}.new`, file);
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
