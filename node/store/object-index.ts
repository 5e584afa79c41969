// The index file of the store: what is in the objects folder, so that a start reads one file and
// the folder's names instead of thousands of inodes. One line per change, the last one counts:
//   + DIGEST SIZE LAST-MODIFIED|- LAST-USED S|W [E]   an object; S: settled, on the disk for
//                                                    certain; E: others hold it, too
//   - DIGEST                                        removed
//   ! closed BOOT-ID | ! opened                     the way the last run ended
// The file is a hint, never the truth: a line that is lost or torn only makes its object doubtful.
import { type FileHandle, open, readFile, rename } from 'node:fs/promises';
import type { Digest } from '../content/digest.ts';
import { isDigest } from '../content/digest.ts';
import { KiB } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';

export interface IndexEntry {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Seconds since the epoch. */
  readonly modified: number | undefined;
  /** Seconds since the epoch. */
  lastUsed: number;
  /** The bytes have reached the disk and would survive a power loss. */
  settled: boolean;
  /** It came from another member, which has it still, as far as is known. */
  readonly heldElsewhere: boolean;
}

export interface LoadedIndex {
  /** In the order of last use. */
  readonly entries: Map<Digest, IndexEntry>;
  /** Lines in the file. */
  readonly lines: number;
  /** The boot in which the last run ended cleanly; undefined when it did not. */
  readonly closedInBoot: string | undefined;
}

export async function loadIndex(path: string): Promise<LoadedIndex> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const entries = new Map<Digest, IndexEntry>();
  let lines = 0;
  let closedInBoot: string | undefined;
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(10, at);
    if (newline < 0) break;
    // A line is decoded on its own: a slice of one big string would keep all of it in memory.
    const line = bytes.toString('latin1', at, newline);
    at = newline + 1;
    lines++;
    const mark = /^! (?:closed ([0-9a-f-]+)|opened)$/.exec(line);
    if (mark !== null) {
      closedInBoot = mark[1];
      continue;
    }
    closedInBoot = undefined;
    applyLine(line, entries);
  }
  return { entries, lines, closedInBoot };
}

function applyLine(line: string, entries: Map<Digest, IndexEntry>): void {
  const [verb, digest = '', size = '', modified = '', lastUsed = '', state, copies] =
    line.split(' ');
  if (!isDigest(digest)) return;
  if (verb === '-') entries.delete(digest);
  if (verb !== '+' || !/^\d+$/.test(size) || !/^\d+$/.test(lastUsed)) return;
  if (!/^(?:-?\d+|-)$/.test(modified) || (state !== 'S' && state !== 'W')) return;
  entries.delete(digest);
  entries.set(digest, {
    digest,
    size: Number(size),
    modified: modified === '-' ? undefined : Number(modified),
    lastUsed: Number(lastUsed),
    settled: state === 'S',
    heldElsewhere: copies === 'E',
  });
}

function lineOf(entry: IndexEntry): string {
  const { digest, size, modified, lastUsed, settled, heldElsewhere } = entry;
  const state = `${settled ? 'S' : 'W'}${heldElsewhere ? ' E' : ''}`;
  return `+ ${digest} ${size} ${modified ?? '-'} ${lastUsed} ${state}\n`;
}

/** Changes wait at most so long, or until they are so many, to go out as one write. */
const gatherMs = 500;
const gatherBytes = 64 * KiB;

/** Writes the index. */
export class IndexWriter {
  readonly #clock: Clock;
  readonly #path: string;
  readonly #entries: () => Iterable<IndexEntry>;
  readonly #onError: (error: unknown) => void;
  #file: FileHandle | undefined;
  #pending: string[] = [];
  #pendingBytes = 0;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #lines: number;
  #live: number;
  #closed = false;

  /** `entries` gives all objects, for rewriting; `lines` are in the file already. */
  constructor(
    deps: {
      clock: Clock;
      entries: () => Iterable<IndexEntry>;
      onError: (error: unknown) => void;
    },
    options: { path: string; lines: number },
  ) {
    this.#clock = deps.clock;
    this.#entries = deps.entries;
    this.#onError = deps.onError;
    this.#path = options.path;
    this.#lines = options.lines;
    this.#live = options.lines;
  }

  put(entry: IndexEntry): void {
    this.#write(lineOf(entry));
  }

  remove(digest: Digest): void {
    this.#write(`- ${digest}\n`);
  }

  opened(): void {
    this.#write('! opened\n');
    this.#begin();
  }

  /** Resolves when all changes so far are with the kernel. */
  async #flush(): Promise<void> {
    this.#begin();
    for (; this.#running !== undefined; this.#begin()) await this.#running;
  }

  /** Rewrites the file with the order of last use and marks a clean end. */
  async close(bootId: string): Promise<void> {
    await this.#flush();
    this.#closed = true;
    try {
      await this.#rewrite(`! closed ${bootId}\n`);
    } catch (error) {
      this.#onError(error);
    }
    await this.#file?.close();
    this.#file = undefined;
  }

  #write(line: string): void {
    if (this.#closed) return;
    this.#pending.push(line);
    this.#pendingBytes += line.length;
    if (this.#pendingBytes >= gatherBytes) this.#begin();
    else this.#timer ??= this.#clock.after(gatherMs, () => this.#begin());
  }

  #begin(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#pending.length > 0) this.#running ??= this.#drain();
  }

  async #drain(): Promise<void> {
    const lines = this.#pending;
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      this.#file ??= await open(this.#path, 'a', 0o640);
      await this.#file.write(lines.join(''));
      this.#lines += lines.length;
      if (this.#lines > 4096 && this.#lines > 3 * this.#live) await this.#rewrite('');
    } catch (error) {
      // A full disk: the objects of these lines are merely doubtful after a crash.
      this.#onError(error);
    }
    this.#running = undefined;
    // What came meanwhile has a timer of its own, unless that ran out.
    if (this.#timer === undefined) this.#begin();
  }

  async #rewrite(last: string): Promise<void> {
    const lines = Array.from(this.#entries(), lineOf);
    const file = await open(`${this.#path}.new`, 'w', 0o640);
    try {
      await file.writeFile(lines.join('') + last);
    } finally {
      await file.close();
    }
    await rename(`${this.#path}.new`, this.#path);
    await this.#file?.close();
    this.#file = undefined;
    this.#lines = lines.length;
    this.#live = lines.length;
  }
}
