// Keeps the store within its limits, a budget of bytes and a floor of free space: makes room
// before bytes come, by giving up what is needed least.
import { MiB } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import { type Candidate, victims } from './eviction.ts';
import type { ObjectTable } from './object-table.ts';
import type { Partials } from './partials.ts';
import { belowFloor, FreeSpace } from './room.ts';

export interface BudgetDeps {
  readonly clock: Clock;
  readonly objects: Pick<
    ObjectTable,
    'size' | 'bytes' | 'oversizeBytes' | 'isOversize' | 'values' | 'delete' | 'drop'
  >;
  readonly partials: Pick<Partials, 'claimedBytes' | 'kept' | 'remove'>;
  /** Runs one piece of work after the other. */
  inBackground(work: () => Promise<void>): void;
}

export interface BudgetOptions {
  readonly folder: string;
  /** Bytes of objects and partial ones together. */
  readonly maxBytes: number;
  /** Bytes to leave free on the disk. */
  readonly minFreeBytes: number;
}

const oversizeGraceMs = 60_000;
/** At a full disk so much goes at once, and of a small store not more than this part. */
const fullDiskStep = 16 * MiB;
const fullDiskPart = 1 / 8;

export class Budget {
  readonly #deps: BudgetDeps;
  readonly #options: BudgetOptions;
  readonly #free: FreeSpace;
  #oversizeTimer: Timer | undefined;
  #closed = false;

  constructor(deps: BudgetDeps, options: BudgetOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#free = new FreeSpace(deps, options);
  }

  /** Evicts what is over the budget. */
  fit(): Promise<void> {
    return this.#evict(this.#excess());
  }

  /** Room for `growth` more bytes of a partial; rejects with ENOSPC below the floor. */
  async makeRoom(
    partial: { readonly bytes: number; readonly reserved: number },
    growth: number,
  ): Promise<void> {
    const before = Math.max(partial.bytes, partial.reserved);
    const after = Math.max(partial.bytes + growth, partial.reserved);
    if (after <= this.#options.maxBytes) await this.#evict(this.#excess() + after - before);
    const missing = await this.#free.missing(growth);
    if (missing > 0) {
      await this.#evict(missing, 'disk');
      if ((await this.#free.missing(growth)) > 0) throw belowFloor(this.#options.folder);
    }
    this.#free.written(growth);
  }

  /** The disk was full, whatever was counted: frees about `bytes`, and some more at once. */
  diskWasFull(bytes: number): Promise<void> {
    const step = Math.min(fullDiskStep, this.#deps.objects.bytes * fullDiskPart);
    return this.#evict(Math.max(bytes, step), 'disk');
  }

  /** What is larger than the whole budget may stay for a minute, and while it is read. */
  dropOversizeLater(): void {
    if (this.#closed) return;
    this.#oversizeTimer ??= this.#deps.clock.after(oversizeGraceMs, () => {
      this.#oversizeTimer = undefined;
      this.#deps.inBackground(() => this.#dropOversize());
    });
  }

  close(): void {
    this.#closed = true;
    this.#oversizeTimer?.cancel();
  }

  /**
   * Bytes over the budget. What is larger than the whole budget does not count: it must not push
   * out everything else, and goes a minute after it came.
   */
  #excess(): number {
    const { objects, partials } = this.#deps;
    const counted = objects.bytes - objects.oversizeBytes + partials.claimedBytes;
    return counted - this.#options.maxBytes;
  }

  async #evict(bytes: number, need: 'budget' | 'disk' = 'budget'): Promise<void> {
    if (bytes <= 0) return;
    const many = this.#deps.objects.size > 1000;
    // Choosing costs a look at every object, so with many of them free a little more at once.
    const slack = many ? Math.ceil(this.#options.maxBytes / 50) : 0;
    const chosen = victims(this.#candidates(need), bytes + slack);
    await Promise.all(chosen.map((candidate) => this.#giveUp(candidate)));
  }

  *#candidates(need: 'budget' | 'disk'): Iterable<Candidate> {
    const { objects, partials } = this.#deps;
    let order = 0;
    for (const [key, { bytes, lastUsed }] of partials.kept()) {
      yield candidateOf(key, bytes, lastUsed, { partial: true });
    }
    for (const entry of objects.values()) {
      const oversize = objects.isOversize(entry);
      if (oversize && need === 'budget') continue;
      yield candidateOf(entry.digest, entry.size, order++, {
        pinned: entry.readers > 0,
        oversize,
        heldElsewhere: entry.heldElsewhere,
      });
    }
  }

  #giveUp({ key, partial }: Candidate): Promise<void> {
    return partial ? this.#deps.partials.remove(key) : this.#deps.objects.delete(key);
  }

  async #dropOversize(): Promise<void> {
    const { objects } = this.#deps;
    const oversize = Array.from(objects.values()).filter((entry) => objects.isOversize(entry));
    for (const entry of oversize) {
      if (entry.readers === 0) await objects.drop(entry);
      else this.dropOversizeLater();
    }
  }
}

function candidateOf(
  key: string,
  size: number,
  lastUsed: number,
  rest: Partial<Candidate>,
): Candidate {
  const defaults = { pinned: false, partial: false, oversize: false, heldElsewhere: false };
  return { key, size, lastUsed, ...defaults, ...rest };
}
