// The partial objects of the file store by their keys: those in work, and those kept half for
// later, each a file in the folder `partial`.
import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HerdError } from '../errors.ts';
import { isSmall } from '../limits.ts';
import { type Clock, nowSeconds } from '../platform/clock.ts';
import { Once } from '../platform/once.ts';
import { FilePartial, type PartialHost } from './file-partial.ts';
import { partialKeyPattern } from './partial-key.ts';

/** Half an object that nobody is working on. */
export interface Kept {
  readonly bytes: number;
  /** Seconds since the epoch. */
  readonly lastUsed: number;
}

export interface PartialsDeps extends Omit<PartialHost, 'ended'> {
  readonly clock: Clock;
  /** A partial has reserved its room: evicts what is over the budget now. */
  fit(): Promise<void>;
}

const keptMaxAgeSeconds = 24 * 3600;

export class Partials {
  readonly #deps: PartialsDeps;
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #host: PartialHost;
  readonly #active = new Map<string, FilePartial | undefined>();
  readonly #kept = new Map<string, Kept>();
  /** Removals under way; a new partial of the same key must not overtake them. */
  readonly #removing = new Once<void>();

  /** `folder` is the store's, `maxBytes` its whole budget. */
  constructor(deps: PartialsDeps, options: { folder: string; maxBytes: number }) {
    this.#deps = deps;
    this.#folder = join(options.folder, 'partial');
    this.#maxBytes = options.maxBytes;
    this.#host = { ...deps, ended: (partial, kept) => this.#ended(partial, kept) };
  }

  /** Bytes to count on: with what is reserved, without what is larger than the whole budget. */
  get claimedBytes(): number {
    let sum = 0;
    for (const partial of this.#active.values()) {
      if (partial === undefined || partial.bytes > this.#maxBytes) continue;
      sum += Math.max(partial.bytes, partial.reserved);
    }
    for (const { bytes } of this.#kept.values()) sum += bytes;
    return sum;
  }

  kept(): Iterable<[key: string, kept: Kept]> {
    return this.#kept;
  }

  /** To be called once, at the start: finds what was kept, removes what is too old. */
  async load(): Promise<void> {
    const oldest = nowSeconds(this.#deps.clock) - keptMaxAgeSeconds;
    for (const key of await readdir(this.#folder)) {
      const path = join(this.#folder, key);
      const { size, mtimeMs } = await stat(path);
      const lastUsed = Math.floor(mtimeMs / 1000);
      if (lastUsed < oldest || size === 0) await unlink(path);
      else this.#kept.set(key, { bytes: size, lastUsed });
    }
  }

  /** Starts or resumes one; see Store.partial. */
  async open(key: string, sizeHint: number): Promise<FilePartial> {
    if (!partialKeyPattern.test(key)) throw new HerdError('INTERNAL', `bad partial key ${key}`);
    if (this.#active.has(key)) throw new HerdError('INTERNAL', `partial ${key} is in use`);
    this.#active.set(key, undefined);
    const kept = this.#kept.get(key);
    this.#kept.delete(key);
    try {
      await this.#removing.get(key);
      const bytes = kept?.bytes ?? 0;
      // What can never fit must not push out everything else first.
      const reserved = sizeHint > this.#maxBytes ? 0 : Math.max(bytes, sizeHint);
      const path = join(this.#folder, key);
      const inMemory = bytes === 0 && sizeHint > 0 && isSmall(sizeHint);
      const from = { key, path, bytes, reserved, inMemory };
      const partial = new FilePartial({ host: this.#host }, from);
      this.#active.set(key, partial);
      await this.#deps.fit();
      return partial;
    } catch (error) {
      this.#active.delete(key);
      if (kept !== undefined) this.#kept.set(key, kept);
      throw error;
    }
  }

  /** Gives up one that is kept. */
  remove(key: string): Promise<void> {
    this.#kept.delete(key);
    return this.#removing.run(key, () => unlink(join(this.#folder, key)).catch(() => {}));
  }

  async suspendAll(): Promise<void> {
    const open = Array.from(this.#active.values());
    await Promise.all(open.map((partial) => partial?.suspendWhenIdle().catch(() => {})));
  }

  #ended(partial: FilePartial, kept: number | undefined): void {
    this.#active.delete(partial.key);
    if (kept === undefined || kept === 0) return;
    this.#kept.set(partial.key, { bytes: kept, lastUsed: nowSeconds(this.#deps.clock) });
  }
}
