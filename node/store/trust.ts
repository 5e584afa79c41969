// Which stored objects may be believed. After a crash the bytes of an object are sure only if they
// had certainly reached the disk ("settled"); the others are doubtful and read again before they
// are served, or politely in the background.
import type { Digest } from '../content/digest.ts';
import { HerdError, reasonOf } from '../errors.ts';
import { type Clock, sleep, type Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { IndexEntry } from './object-index.ts';

/** What is remembered of an object's credit. */
export interface TrustedEntry extends IndexEntry {
  /** No longer stored. */
  gone: boolean;
  doubtful: boolean;
  checking: { urgent: boolean; readonly done: Promise<boolean> } | undefined;
}

export interface TrustDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly files: {
    verify(digest: Digest, size: number, pause: () => Promise<void>): Promise<Buffer | undefined>;
    writeHashes(digest: Digest, pieceHashes: Buffer): Promise<void>;
    sync(digest: Digest, size: number): Promise<void>;
  };
  readonly index: { put(entry: IndexEntry): void };
  /** Removes a damaged object. */
  drop(entry: TrustedEntry): Promise<void>;
}

const politePauseMs = 10;

export class Trust {
  readonly #deps: TrustDeps;
  readonly #options: { settleMs: number; verifyAfterMs: number };
  readonly #closing = new AbortController();
  /** Written in this settle period, and in the one before. */
  #young = new Set<TrustedEntry>();
  #old = new Set<TrustedEntry>();
  #settleTimer: Timer | undefined;
  #verifyTimer: Timer | undefined;
  #background: Promise<void> = Promise.resolve();

  constructor(deps: TrustDeps, options: { settleMs: number; verifyAfterMs: number }) {
    this.#deps = deps;
    this.#options = options;
  }

  /** To be called once, with what is there at the start. */
  begin(entries: Iterable<TrustedEntry>): void {
    const doubtful: TrustedEntry[] = [];
    for (const entry of entries) {
      if (entry.doubtful) doubtful.push(entry);
      else if (!entry.settled) this.written(entry);
    }
    if (doubtful.length === 0) return;
    const { clock, log } = this.#deps;
    log.info({ objects: doubtful.length }, 'unclean end: verifying what was written last');
    this.#verifyTimer = clock.after(this.#options.verifyAfterMs, () => {
      this.inBackground(async () => {
        for (const entry of doubtful) {
          if (this.#closing.signal.aborted) return;
          if (entry.doubtful && !entry.gone) await this.verify(entry, false).catch(() => {});
        }
      });
    });
  }

  /** A new object; it is flushed to the disk after a while. */
  written(entry: TrustedEntry): void {
    this.#young.add(entry);
    this.#settleLater();
  }

  /** The object is no longer stored. */
  forget(entry: TrustedEntry): void {
    this.#young.delete(entry);
    this.#old.delete(entry);
  }

  /** Reads the object again; drops it when it is wrong. One run, whoever asks. */
  verify(entry: TrustedEntry, urgent = true): Promise<boolean> {
    if (entry.checking !== undefined) {
      entry.checking.urgent ||= urgent;
      return entry.checking.done;
    }
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const checking = { urgent, done: promise };
    entry.checking = checking;
    const pause = async () => {
      if (this.#closing.signal.aborted) throw new HerdError('SHUTTING_DOWN', 'store is closing');
      if (!checking.urgent) await sleep(this.#deps.clock, politePauseMs, this.#closing.signal);
    };
    this.#check(entry, pause)
      .finally(() => {
        entry.checking = undefined;
      })
      .then(resolve, reject);
    return promise;
  }

  /** Runs one piece of work after the other; errors are logged. */
  inBackground(work: () => Promise<void>): void {
    this.#background = this.#background.then(work).catch((error: unknown) => {
      if (this.#closing.signal.aborted) return;
      this.#deps.log.warn({ reason: reasonOf(error) }, 'background work of the store failed');
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#settleTimer?.cancel();
    this.#verifyTimer?.cancel();
    await this.#background;
  }

  async #check(entry: TrustedEntry, pause: () => Promise<void>): Promise<boolean> {
    const { digest, size } = entry;
    const hashes = await this.#deps.files.verify(digest, size, pause);
    if (hashes === undefined) {
      this.#deps.log.warn({ digest, size }, 'stored object is damaged: removed');
      await this.#deps.drop(entry);
      return false;
    }
    await this.#deps.files.writeHashes(digest, hashes);
    entry.doubtful = false;
    if (entry.gone) return true;
    this.#deps.index.put(entry);
    this.written(entry);
    return true;
  }

  #settleLater(): void {
    if (this.#closing.signal.aborted) return;
    this.#settleTimer ??= this.#deps.clock.after(this.#options.settleMs, () => {
      this.#settleTimer = undefined;
      this.inBackground(() => this.#settle());
    });
  }

  /** By now the kernel has written most of it on its own, so this costs little. */
  async #settle(): Promise<void> {
    const due = this.#old;
    this.#old = this.#young;
    this.#young = new Set();
    if (this.#old.size > 0) this.#settleLater();
    for (const entry of due) {
      if (this.#closing.signal.aborted) return;
      if (entry.gone) continue;
      await this.#deps.files.sync(entry.digest, entry.size);
      entry.settled = true;
      if (!entry.gone) this.#deps.index.put(entry);
    }
  }
}
