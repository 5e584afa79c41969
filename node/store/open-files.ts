// A bounded set of open files, shared by all who read or write the same path. Nobody holds a
// descriptor while idle, so a thousand readers get along with a few dozen descriptors.
import { type FileHandle, open } from 'node:fs/promises';
import { HerdError } from '../errors.ts';
import type { Clock } from '../platform/clock.ts';

interface OpenFile {
  path: string;
  readonly handle: Promise<FileHandle>;
  /** Once it is open. */
  fd: number | undefined;
  users: number;
  /** Its path now means another file: closed after the last use. */
  stale: boolean;
}

const retryMs = 10;
const retriesMax = 500;

export class OpenFiles {
  readonly #clock: Clock;
  readonly #max: number;
  /** Least recently used first. */
  readonly #files = new Map<string, OpenFile>();
  readonly #waiting: (() => void)[] = [];
  readonly #starving: (() => void)[] = [];
  #closed = false;

  constructor(deps: { clock: Clock }, options: { max: number }) {
    this.#clock = deps.clock;
    this.#max = options.max;
  }

  get size(): number {
    return this.#files.size;
  }

  /** Runs `fn` with `path` open; `flags` count only when it is not open yet. */
  async use<T>(
    path: string,
    flags: 'r' | 'r+' | number,
    fn: (handle: FileHandle) => Promise<T>,
  ): Promise<T> {
    const file = await this.#acquire(path, flags);
    try {
      return await fn(await file.handle);
    } finally {
      this.#release(file);
    }
  }

  /** The descriptor of `path` if it is open, to be used before anything else runs. */
  descriptor(path: string): number | undefined {
    return this.#files.get(path)?.fd;
  }

  /** An open file follows its name; whatever was open under `to` is let go. */
  rename(from: string, to: string): void {
    void this.forget(to);
    const file = this.#files.get(from);
    if (file === undefined) return;
    this.#files.delete(from);
    file.path = to;
    this.#files.set(to, file);
  }

  /** Closes `path` after the uses that run now; resolves when it is closed, if there are none. */
  forget(path: string): Promise<void> {
    const file = this.#files.get(path);
    if (file === undefined) return Promise.resolve();
    this.#files.delete(path);
    file.stale = true;
    return file.users === 0 ? this.#close(file) : Promise.resolve();
  }

  async close(): Promise<void> {
    this.#closed = true;
    const files = Array.from(this.#files.values());
    this.#files.clear();
    for (const wake of this.#waiting.splice(0)) wake();
    await Promise.all(
      files.map((file) =>
        file.handle.then(
          (handle) => handle.close(),
          () => {},
        ),
      ),
    );
  }

  async #acquire(path: string, flags: 'r' | 'r+' | number): Promise<OpenFile> {
    for (;;) {
      if (this.#closed) throw new HerdError('SHUTTING_DOWN', 'store is closed');
      const known = this.#files.get(path);
      if (known !== undefined) {
        known.users++;
        this.#files.delete(path);
        this.#files.set(path, known);
        return known;
      }
      if (this.#files.size < this.#max || this.#closeIdle()) break;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const handle = this.#open(path, flags);
    const file: OpenFile = { path, handle, fd: undefined, users: 1, stale: false };
    this.#files.set(path, file);
    try {
      file.fd = (await handle).fd;
    } catch (error) {
      if (this.#files.get(path) === file) this.#files.delete(path);
      this.#release(file);
      throw error;
    }
    return file;
  }

  #release(file: OpenFile): void {
    file.users--;
    if (file.users > 0) return;
    if (this.#starving.length > 0 && this.#files.get(file.path) === file) {
      this.#files.delete(file.path);
      file.stale = true;
    }
    if (file.stale) void this.#close(file);
    this.#waiting.shift()?.();
  }

  /** The process may be out of descriptors because of others (sockets): wait for better times. */
  async #open(path: string, flags: 'r' | 'r+' | number): Promise<FileHandle> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await open(path, flags);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if ((code !== 'EMFILE' && code !== 'ENFILE') || attempt >= retriesMax) throw error;
        if (!this.#closeIdle()) await this.#someoneCloses();
      }
    }
  }

  #close(file: OpenFile): Promise<void> {
    const wake = () => this.#starving.shift()?.();
    return file.handle.then((handle) => handle.close()).then(wake, wake);
  }

  #someoneCloses(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(retryMs, resolve);
      this.#starving.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #closeIdle(): boolean {
    for (const file of this.#files.values()) {
      if (file.users > 0) continue;
      void this.forget(file.path);
      return true;
    }
    return false;
  }
}
