// A partial object of the file store: one file that grows at its end. What will be small waits in
// memory until it is whole.
import { readSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { HerdError } from '../errors.ts';
import { MiB, SMALL_BYTES } from '../limits.ts';
import { READ_WRITE_CREATE, readExactly } from './object-files.ts';
import type { OpenFiles } from './open-files.ts';
import type { PromptDisk } from './prompt-disk.ts';
import type { PartialObject, StoredObject } from './store.ts';

/** So much behind its end a file that grows is in the page cache. */
const RECENT_BYTES = 8 * MiB;

/** What a partial needs of its store. */
export interface PartialHost {
  readonly files: OpenFiles;
  readonly prompt: PromptDisk;
  /** Makes room for `growth` more bytes; rejects with ENOSPC below the floor of free space. */
  makeRoom(partial: FilePartial, growth: number): Promise<void>;
  /** After the disk was full: evicts so that about `bytes` more fit. */
  evict(bytes: number): Promise<void>;
  /** Makes a stored object of a whole file; resolves to its path. */
  place(path: string, object: StoredObject, pieceHashes: Buffer): Promise<string>;
  /** Makes one of bytes in memory; `undefined` when it cannot, and they must go by a file. */
  write(
    bytes: readonly Buffer[],
    object: StoredObject,
    pieceHashes: Buffer,
  ): Promise<string | undefined>;
  /** The partial is no longer written; `kept` bytes of it stay under its key. */
  ended(partial: FilePartial, kept: number | undefined): void;
}

export class FilePartial implements PartialObject {
  readonly key: string;
  /** Bytes that room is kept for. */
  readonly reserved: number;
  readonly #host: PartialHost;
  #path: string;
  #bytes: number;
  #state: 'open' | 'busy' | 'stored' | 'closed' = 'open';
  /** A failed append may have left bytes behind the end. */
  #hasTail = false;
  #moving: Promise<void> | undefined;
  /** The latest change. */
  #running: Promise<void> | undefined;
  /** All its bytes, while there is no file. */
  #held: Buffer[] | undefined;

  constructor(
    deps: { host: PartialHost },
    options: { key: string; path: string; bytes: number; reserved: number; inMemory: boolean },
  ) {
    this.#host = deps.host;
    this.key = options.key;
    this.reserved = options.reserved;
    this.#path = options.path;
    this.#bytes = options.bytes;
    if (options.inMemory) this.#held = [];
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(...chunks: Buffer[]): Promise<void> {
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (length === 0) return;
    await this.#exclusive('open', async () => {
      await this.#host.makeRoom(this, length);
      if (this.#held && this.#bytes + length > SMALL_BYTES) await this.#spill();
      // A copy: a caller may use its buffer again, as with a file.
      if (this.#held) this.#held.push(...chunks.map((chunk) => Buffer.from(chunk)));
      else await this.#retryWhenFull(length, () => this.#write(chunks, this.#bytes));
      this.#bytes += length;
    });
  }

  async read(offset: number, length: number, into?: Buffer): Promise<Buffer> {
    if (offset < 0 || length < 0 || offset + length > this.#bytes) {
      throw new RangeError(`bytes ${offset}+${length} of a partial of ${this.#bytes}`);
    }
    if (this.#state === 'closed') throw closed(this.key);
    if (length === 0) return Buffer.alloc(0);
    if (this.#held) return Buffer.concat(this.#held).subarray(offset, offset + length);
    const now = this.#readNow(offset, length, into);
    if (now) return now;
    const path = this.#path;
    try {
      return await this.#read(path, offset, length, into);
    } catch (error) {
      // The file may just be on its way to its place among the objects.
      await this.#moving?.catch(() => {});
      if (path === this.#path) throw error;
      return await this.#read(this.#path, offset, length, into);
    }
  }

  /** What was written a moment ago, at once. */
  #readNow(offset: number, length: number, into?: Buffer): Buffer | undefined {
    const { files, prompt } = this.#host;
    if (offset < this.#bytes - RECENT_BYTES || !prompt.ready) return undefined;
    const fd = files.descriptor(this.#path);
    if (fd === undefined) return undefined;
    const bytes = into ?? Buffer.allocUnsafe(length);
    try {
      return prompt.run(() => readSync(fd, bytes, 0, length, offset)) === length
        ? bytes
        : undefined;
    } catch {
      return undefined;
    }
  }

  #read(path: string, offset: number, length: number, into?: Buffer): Promise<Buffer> {
    // Whoever opens the file first decides its mode, and appends use the same descriptor.
    const flags = this.#state === 'stored' ? 'r' : 'r+';
    return readExactly(this.#host.files, { path, offset, length, into, flags });
  }

  async commit(object: StoredObject, pieceHashes: Buffer): Promise<void> {
    if (object.size !== this.#bytes) {
      throw new HerdError(
        'INTERNAL',
        `partial ${this.key} has ${this.#bytes} bytes, not ${object.size}`,
      );
    }
    await this.#exclusive('stored', async () => {
      if (await this.#commitHeld(object, pieceHashes)) return;
      if (this.#bytes === 0) await this.#touch();
      await this.#cutTail();
      const place = () => this.#host.place(this.#path, object, pieceHashes);
      const moving = this.#retryWhenFull(pieceHashes.length, place).then((path) => {
        this.#path = path;
      });
      this.#moving = moving;
      await moving;
      this.#host.ended(this, undefined);
    });
  }

  /** `false` when the bytes are in a file (now). */
  async #commitHeld(object: StoredObject, pieceHashes: Buffer): Promise<boolean> {
    const held = this.#held;
    if (!held) return false;
    const write = () => this.#host.write(held, object, pieceHashes);
    const path = await this.#retryWhenFull(this.#bytes, write);
    if (path === undefined) {
      await this.#spill();
      return false;
    }
    this.#path = path;
    this.#held = undefined;
    this.#host.ended(this, undefined);
    return true;
  }

  async suspend(): Promise<void> {
    await this.#exclusive('closed', async () => {
      if (this.#bytes > 0) await this.#spill();
      await this.#cutTail();
      void this.#host.files.forget(this.#path);
      this.#host.ended(this, this.#bytes);
    });
  }

  /** Suspends it after the change that runs now, if it is not stored by that. */
  async suspendWhenIdle(): Promise<void> {
    while (this.#state === 'busy') await this.#running?.catch(() => {});
    if (this.#state === 'open') await this.suspend();
  }

  async discard(): Promise<void> {
    await this.#exclusive('closed', async () => {
      if (!this.#held || this.#hasTail) {
        // An open file takes its room still.
        const closed = this.#host.files.forget(this.#path);
        await unlink(this.#path).catch(() => {});
        await closed;
      }
      this.#host.ended(this, undefined);
    });
  }

  /** One change at a time: bytes that came in another order would be bytes of another object. */
  async #exclusive(after: 'open' | 'stored' | 'closed', fn: () => Promise<void>): Promise<void> {
    if (this.#state === 'busy') throw new HerdError('INTERNAL', `partial ${this.key} is busy`);
    if (this.#state !== 'open') throw closed(this.key);
    this.#state = 'busy';
    try {
      this.#running = fn();
      await this.#running;
      this.#state = after;
    } catch (error) {
      this.#state = 'open';
      throw error;
    }
  }

  async #retryWhenFull<T>(bytes: number, fn: () => Promise<T>): Promise<T> {
    try {
      return await fn();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
      await this.#host.evict(bytes);
      return await fn();
    }
  }

  async #spill(): Promise<void> {
    if (!this.#held) return;
    const held = this.#held;
    await this.#retryWhenFull(this.#bytes, () => this.#write(held, 0));
    this.#held = undefined;
  }

  async #write(chunks: readonly Buffer[], at: number): Promise<void> {
    this.#hasTail = true;
    await this.#host.files.use(this.#path, READ_WRITE_CREATE, async (handle) => {
      for (let rest = chunks, position = at; rest.length > 0; ) {
        const { bytesWritten } = await handle.writev(rest, position);
        position += bytesWritten;
        rest = after(rest, bytesWritten);
      }
    });
    this.#hasTail = false;
  }

  async #touch(): Promise<void> {
    await this.#host.files.use(this.#path, READ_WRITE_CREATE, async () => {});
  }

  async #cutTail(): Promise<void> {
    if (!this.#hasTail) return;
    await this.#host.files.use(this.#path, READ_WRITE_CREATE, (handle) => {
      return handle.truncate(this.#bytes);
    });
    this.#hasTail = false;
  }
}

/** What is left of `chunks` without their first `bytes`. */
function after(chunks: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes;
  for (const [index, chunk] of chunks.entries()) {
    if (skip < chunk.length) return [chunk.subarray(skip), ...chunks.slice(index + 1)];
    skip -= chunk.length;
  }
  return [];
}

function closed(key: string): HerdError {
  return new HerdError('INTERNAL', `partial ${key} is closed`);
}
