// The folder of stored objects on disk: objects/ab/DIGEST holds the plain bytes (sha256sum agrees
// with the name), pieces/ab/DIGEST the hashes of an object of more than one piece.
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { mkdir, readdir, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, Hasher, isDigest } from '../content/digest.ts';
import { HASH_BYTES, PieceHasher } from '../content/piece-hashes.ts';
import { KiB, pieceCount } from '../limits.ts';
import { Once } from '../platform/once.ts';
import type { OpenFiles } from './open-files.ts';
import type { PromptDisk } from './prompt-disk.ts';

export const READ_WRITE_CREATE = constants.O_RDWR | constants.O_CREAT;
const verifyChunk = 256 * KiB;

export class ObjectFiles {
  readonly #files: OpenFiles;
  readonly #folder: string;
  /** Removals under way; a new object of the same name must not overtake them. */
  readonly #removing = new Once<void>();
  readonly #prompt: PromptDisk;

  constructor(deps: { prompt: PromptDisk; files: OpenFiles }, options: { folder: string }) {
    this.#prompt = deps.prompt;
    this.#files = deps.files;
    this.#folder = options.folder;
  }

  path(digest: Digest): string {
    return join(this.#folder, 'objects', digest.slice(0, 2), digest);
  }

  #piecesPath(digest: Digest): string {
    return join(this.#folder, 'pieces', digest.slice(0, 2), digest);
  }

  /** The digests that have a file, in no order. */
  async names(): Promise<Digest[]> {
    const top = join(this.#folder, 'objects');
    await mkdir(top, { recursive: true });
    const folders = await readdir(top);
    const lists = await Promise.all(
      folders.map((name) => readdir(join(top, name)).catch(() => [])),
    );
    return lists.flat().filter(isDigest);
  }

  /** Bytes on disk; undefined when there is no file. */
  async size(digest: Digest): Promise<number | undefined> {
    return (await stat(this.path(digest)).catch(() => undefined))?.size;
  }

  /** Moves a finished file to its place; the piece hashes are there before it. */
  async place(from: string, digest: Digest, pieceHashes: Buffer): Promise<void> {
    await this.#removing.get(digest);
    await this.writeHashes(digest, pieceHashes);
    const to = this.path(digest);
    await withFolder(to, () => rename(from, to));
    this.#files.rename(from, to);
  }

  /**
   * Puts a small object and its piece hashes in their places at once, if no file is there. Not in
   * another thread: 60 KB into the page cache take 40 us, the hops of open, write, close and rename
   * ten times that. `false`: not done, go the long way, as there is a file or the disk is busy.
   * Torn by a crash, it is a file that the index does not list, thus doubtful.
   */
  async write(digest: Digest, bytes: readonly Buffer[], pieceHashes: Buffer): Promise<boolean> {
    await this.#removing.get(digest);
    if (!this.#prompt.ready) return false;
    try {
      this.#prompt.run(() => this.#writeNow(digest, bytes, pieceHashes));
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (['EEXIST', 'EMFILE', 'ENFILE'].includes(code)) return false;
      throw error;
    }
    return true;
  }

  #writeNow(digest: Digest, bytes: readonly Buffer[], pieceHashes: Buffer): void {
    const path = this.path(digest);
    void this.#files.forget(path);
    writeNew(path, bytes);
    if (pieceHashes.length <= HASH_BYTES) return;
    const hashes = this.#piecesPath(digest);
    void this.#files.forget(hashes);
    try {
      writeNew(hashes, [pieceHashes]);
    } catch (error) {
      unlinkSync(path);
      throw error;
    }
  }

  async writeHashes(digest: Digest, pieceHashes: Buffer): Promise<void> {
    if (pieceHashes.length <= HASH_BYTES) return;
    const path = this.#piecesPath(digest);
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
    void this.#files.forget(path);
    await withFolder(path, () => {
      return this.#files.use(path, flags, (handle) => handle.writeFile(pieceHashes));
    });
    void this.#files.forget(path);
  }

  /** The stored piece hashes; undefined when they are not there or too few. */
  async readHashes(digest: Digest, size: number): Promise<Buffer | undefined> {
    const implied = impliedHashes(digest, size);
    if (implied) return implied;
    const path = this.#piecesPath(digest);
    const length = pieceCount(size) * HASH_BYTES;
    return await readExactly(this.#files, { path, offset: 0, length }).catch(unreadable);
  }

  read(digest: Digest, offset: number, length: number, into?: Buffer): Promise<Buffer> {
    return readExactly(this.#files, { path: this.path(digest), offset, length, into });
  }

  /**
   * As `read` and `readHashes`, at once, not in another thread: for what was written or read a
   * short while ago and is in the page cache. `undefined`: go the long way.
   */
  readNow(digest: Digest, offset: number, length: number, into?: Buffer): Buffer | undefined {
    return this.#partNow({ path: this.path(digest), offset, length, into });
  }

  readHashesNow(digest: Digest, size: number): Buffer | undefined {
    const length = pieceCount(size) * HASH_BYTES;
    const path = this.#piecesPath(digest);
    return impliedHashes(digest, size) ?? this.#partNow({ path, offset: 0, length });
  }

  #partNow(part: FilePart): Buffer | undefined {
    return this.#prompt.ready ? this.#prompt.run(() => readPart(part)) : undefined;
  }

  /** Whether the file opens and has `size` bytes. */
  isWhole(digest: Digest, size: number): Promise<boolean> {
    return this.#files.use(this.path(digest), 'r', async (handle) => {
      return (await handle.stat()).size === size;
    });
  }

  /**
   * Reads the object again; its piece hashes when size and digest are right, else undefined.
   * `pause` is awaited between chunks.
   */
  async verify(
    digest: Digest,
    size: number,
    pause: () => Promise<void>,
  ): Promise<Buffer | undefined> {
    if ((await this.size(digest)) !== size) return undefined;
    const whole = new Hasher();
    const pieces = new PieceHasher();
    for (let at = 0; at < size; at += verifyChunk) {
      const chunk = await this.read(digest, at, Math.min(verifyChunk, size - at)).catch(unreadable);
      if (chunk === undefined) return undefined;
      whole.update(chunk);
      pieces.update(chunk);
      await pause();
    }
    return whole.digest() === digest ? pieces.end() : undefined;
  }

  /** Resolves when the object would survive a power loss. */
  async sync(digest: Digest, size: number): Promise<void> {
    const paths = [this.path(digest)];
    if (pieceCount(size) > 1) paths.push(this.#piecesPath(digest));
    for (const path of paths) await this.#files.use(path, 'r', (handle) => handle.datasync());
  }

  remove(digest: Digest, size: number): Promise<void> {
    return this.#removing.run(digest, () => this.#unlink(digest, size));
  }

  async #unlink(digest: Digest, size: number): Promise<void> {
    const closed = [this.path(digest), this.#piecesPath(digest)].map((path) =>
      this.#files.forget(path),
    );
    await unlink(this.path(digest)).catch(() => {});
    if (pieceCount(size) > 1) await unlink(this.#piecesPath(digest)).catch(() => {});
    // An open file takes its room still.
    await Promise.all(closed);
  }
}

/** Of an object that needs no file for them. */
function impliedHashes(digest: Digest, size: number): Buffer | undefined {
  const pieces = pieceCount(size);
  if (pieces > 1) return undefined;
  return pieces === 0 ? Buffer.alloc(0) : Buffer.from(digest, 'hex');
}

function writeNew(path: string, bytes: readonly Buffer[]): void {
  const file = createNew(path);
  try {
    for (const buffer of bytes) {
      for (let done = 0; done < buffer.length; ) done += writeSync(file, buffer, done);
    }
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
}

/** `undefined` when it cannot be read, or is shorter. */
function readPart({ path, offset, length, into }: FilePart): Buffer | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const bytes = into ?? Buffer.allocUnsafe(length);
    return readSync(file, bytes, 0, length, offset) === length ? bytes : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function createNew(path: string): number {
  try {
    return openSync(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(join(path, '..'), { recursive: true });
    return openSync(path, 'wx');
  }
}

/** A disk error is as good as wrong bytes; a lack of descriptors says nothing about them. */
function unreadable(error: NodeJS.ErrnoException): undefined {
  if (error.code === 'EMFILE' || error.code === 'ENFILE') throw error;
}

interface FilePart {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  /** Memory for it, `length` bytes. */
  readonly into?: Buffer | undefined;
  readonly flags?: 'r' | 'r+';
}

/** Exactly this part of a file; throws when the file is shorter. */
export function readExactly(files: OpenFiles, part: FilePart): Promise<Buffer> {
  const { path, offset, length, into, flags = 'r' } = part;
  return files.use(path, flags, async (handle) => {
    const bytes = into ?? Buffer.allocUnsafe(length);
    for (let filled = 0; filled < length; ) {
      const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) throw new Error(`${path} ends at ${offset + filled}`);
      filled += bytesRead;
    }
    return bytes;
  });
}

async function withFolder(path: string, fn: () => Promise<void>): Promise<void> {
  try {
    await fn();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(join(path, '..'), { recursive: true });
    await fn();
  }
}
