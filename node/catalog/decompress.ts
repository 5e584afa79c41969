// Indexes as text, whatever they are packed with: told by their first bytes, since names by hash
// and objects of the store have no ending; unpacked by apt's own helper.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const magics: readonly [ending: string, magic: Buffer][] = [
  ['xz', Buffer.from('fd377a585a00', 'hex')],
  ['gz', Buffer.from('1f8b', 'hex')],
  ['bz2', Buffer.from('BZh')],
  ['lz4', Buffer.from('04224d18', 'hex')],
  ['zst', Buffer.from('28b52ffd', 'hex')],
  ['lzma', Buffer.from('5d0000', 'hex')],
];
const MAGIC_BYTES = 6;

/** The ending that names a compression, told by a file's first six bytes. */
export function compressionOf(head: Buffer): string | undefined {
  return magics.find(([, magic]) => head.subarray(0, magic.length).equals(magic))?.[0];
}

export interface DecompressOptions {
  /** A folder of the node's own, for links that never hold data. */
  readonly scratch: string;
  /** `/usr/lib/apt/apt-helper` */
  readonly aptHelper: string;
  /**
   * Of the process that unpacks, nice(1); default 0. `POLITE` only when nobody waits: on a
   * machine that renders, the lowest priority gets next to nothing.
   */
  readonly niceness?: number;
}

export const POLITE = 19;

/**
 * The text of an index. Throws when it cannot be unpacked; what came before must not be used
 * then. Compressed bytes are unpacked by a child process.
 */
export async function* decompress(
  bytes: AsyncIterable<Buffer>,
  options: DecompressOptions,
): AsyncGenerator<Buffer> {
  const source = bytes[Symbol.asyncIterator]();
  try {
    let head: Buffer = Buffer.alloc(0);
    while (head.length < MAGIC_BYTES) {
      const next = await source.next();
      if (next.done) break;
      head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
    }
    const ending = compressionOf(head);
    const whole = startingWith(head, source);
    yield* ending === undefined ? whole : unpacked(whole, ending, options);
  } finally {
    await source.return?.();
  }
}

async function* startingWith(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}

async function* unpacked(
  bytes: AsyncIterable<Buffer>,
  ending: string,
  { scratch, aptHelper, niceness = 0 }: DecompressOptions,
): AsyncGenerator<Buffer> {
  // apt-helper goes by the ending alone, and cannot open the socket that Node gives as a pipe.
  const link = join(scratch, `index.${ending}`);
  await mkdir(scratch, { recursive: true });
  await symlink('/dev/stdin', link).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const script = 'cat | exec "$0" cat-file "$1"';
  const command = ['sh', '-c', script, aptHelper, link];
  const [file, ...args] = niceness > 0 ? ['nice', '-n', `${niceness}`, ...command] : command;
  const child = spawn(file!, args);
  const exit = once(child, 'close') as Promise<[number | null]>;
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 500);
  });
  // A child that gives up closes its end; its exit status says more than EPIPE does.
  let failure: unknown;
  const feeding = pipeline(bytes, child.stdin).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') failure = error;
  });
  try {
    for await (const chunk of child.stdout as Readable) yield chunk as Buffer;
    await feeding;
    const [status] = await exit;
    if (failure !== undefined) throw failure;
    if (status !== 0) throw new Error(complaint.trim() || `${aptHelper} exits with ${status}`);
  } finally {
    child.stdin.destroy();
    await feeding;
    await exit.catch(() => undefined);
  }
}
