// The store in memory: for tests, simulations and nodes without a disk.
import { EventEmitter } from 'node:events';
import type { Digest } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import { type Candidate, victims } from './eviction.ts';
import { partialKeyPattern } from './partial-key.ts';
import type { ObjectReader, PartialObject, Store, StoredObject, StoreEvents } from './store.ts';

interface Entry {
  readonly object: StoredObject;
  readonly body: Buffer;
  readonly pieceHashes: Buffer;
  readers: number;
}

/** What a partial object may do to its store. */
interface Host {
  makeRoom(partial: MemoryPartial, growth: number): void;
  add(object: StoredObject, body: Buffer, pieceHashes: Buffer): void;
  ended(key: string, kept: Buffer[] | undefined): void;
}

export class MemoryStore implements Store {
  readonly #heldElsewhere: (digest: Digest) => boolean;
  readonly #maxBytes: number;
  readonly #events = new EventEmitter<StoreEvents>();
  /** Least recently used first. */
  readonly #objects = new Map<Digest, Entry>();
  readonly #active = new Map<string, MemoryPartial>();
  readonly #kept = new Map<string, Buffer[]>();
  #bytes = 0;
  #closed = false;

  constructor(
    deps: { heldElsewhere?: (digest: Digest) => boolean } = {},
    options: { maxBytes?: number } = {},
  ) {
    this.#heldElsewhere = deps.heldElsewhere ?? (() => false);
    this.#maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#events.setMaxListeners(0);
  }

  get objects(): number {
    return this.#objects.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  on<E extends keyof StoreEvents>(event: E, fn: (...args: StoreEvents[E]) => void): void {
    (this.#events as EventEmitter).on(event, fn);
  }

  stat(digest: Digest): StoredObject | undefined {
    return this.#objects.get(digest)?.object;
  }

  list(): Iterable<StoredObject> {
    return Array.from(this.#objects.values(), ({ object }) => object);
  }

  async open(digest: Digest): Promise<ObjectReader | undefined> {
    this.#refuseClosed();
    return this.#open(digest);
  }

  atHand(digest: Digest): ObjectReader | undefined {
    const reader = this.#closed ? undefined : this.#open(digest);
    return reader && { ...reader, body: this.#objects.get(digest)!.body };
  }

  #open(digest: Digest): ObjectReader | undefined {
    const entry = this.#objects.get(digest);
    if (entry === undefined) return undefined;
    this.#objects.delete(digest);
    this.#objects.set(digest, entry);
    entry.readers++;
    let open = true;
    return {
      ...entry.object,
      pieceHashes: entry.pieceHashes,
      read: async (offset, length) => slice(entry.body, offset, length),
      close: async () => {
        if (open) entry.readers--;
        open = false;
      },
    };
  }

  async partial(key: string, sizeHint = 0): Promise<PartialObject> {
    this.#refuseClosed();
    if (!partialKeyPattern.test(key)) throw new HerdError('INTERNAL', `bad partial key ${key}`);
    if (this.#active.has(key)) throw new HerdError('INTERNAL', `partial ${key} is in use`);
    const chunks = this.#kept.get(key) ?? [];
    this.#kept.delete(key);
    if (sizeHint <= this.#maxBytes) this.#makeRoom(sizeHint - sizeOf(chunks));
    const host: Host = {
      // What can never fit must not push out everything else.
      makeRoom: (partial, growth) => {
        if (partial.bytes + growth <= this.#maxBytes) this.#makeRoom(growth);
      },
      add: (object, body, pieceHashes) => this.#add({ object, body, pieceHashes, readers: 0 }),
      ended: (name, kept) => {
        this.#active.delete(name);
        if (kept !== undefined && kept.length > 0) this.#kept.set(name, kept);
      },
    };
    const partial = new MemoryPartial({ host }, { key, chunks });
    this.#active.set(key, partial);
    return partial;
  }

  async delete(digest: Digest): Promise<void> {
    const entry = this.#objects.get(digest);
    if (entry === undefined) return;
    this.#objects.delete(digest);
    this.#bytes -= entry.object.size;
    this.#events.emit('removed', entry.object);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #add(entry: Entry): void {
    const { digest, size } = entry.object;
    const isNew = !this.#objects.has(digest);
    if (!isNew) this.#bytes -= size;
    this.#objects.delete(digest);
    this.#objects.set(digest, entry);
    this.#bytes += size;
    if (isNew) this.#events.emit('added', entry.object);
  }

  #makeRoom(growth: number): void {
    let sum = growth - this.#maxBytes;
    for (const { object } of this.#objects.values()) {
      if (object.size <= this.#maxBytes) sum += object.size;
    }
    for (const { bytes } of this.#active.values()) if (bytes <= this.#maxBytes) sum += bytes;
    for (const chunks of this.#kept.values()) sum += sizeOf(chunks);
    for (const { key, partial } of victims(this.#candidates(), sum)) {
      if (partial) this.#kept.delete(key);
      else void this.delete(key);
    }
  }

  *#candidates(): Iterable<Candidate> {
    const plain = { pinned: false, partial: false, oversize: false, heldElsewhere: false };
    let lastUsed = 0;
    for (const [key, chunks] of this.#kept) {
      yield { ...plain, key, size: sizeOf(chunks), lastUsed: lastUsed++, partial: true };
    }
    for (const { object, readers } of this.#objects.values()) {
      const { digest: key, size } = object;
      const heldElsewhere = this.#heldElsewhere(key);
      if (size > this.#maxBytes) continue;
      yield { ...plain, key, size, lastUsed: lastUsed++, pinned: readers > 0, heldElsewhere };
    }
  }

  #refuseClosed(): void {
    if (this.#closed) throw new HerdError('SHUTTING_DOWN', 'store is closed');
  }
}

class MemoryPartial implements PartialObject {
  readonly #host: Host;
  readonly #key: string;
  readonly #chunks: Buffer[];
  #bytes: number;
  #closed = false;
  #busy = false;

  constructor(deps: { host: Host }, options: { key: string; chunks: Buffer[] }) {
    this.#host = deps.host;
    this.#key = options.key;
    this.#chunks = options.chunks;
    this.#bytes = sizeOf(options.chunks);
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(...chunks: Buffer[]): Promise<void> {
    this.#refuse();
    this.#busy = true;
    await Promise.resolve();
    this.#busy = false;
    this.#host.makeRoom(this, sizeOf(chunks));
    // A copy: a caller may use its buffer again, as with a file.
    this.#chunks.push(...chunks.map((chunk) => Buffer.from(chunk)));
    this.#bytes += sizeOf(chunks);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return slice(this.#whole(), offset, length);
  }

  async commit(object: StoredObject, pieceHashes: Buffer): Promise<void> {
    this.#refuse();
    if (object.size !== this.#bytes) {
      const message = `partial ${this.#key} has ${this.#bytes} bytes, not ${object.size}`;
      throw new HerdError('INTERNAL', message);
    }
    this.#closed = true;
    this.#host.ended(this.#key, undefined);
    this.#host.add(object, this.#whole(), Buffer.from(pieceHashes));
  }

  async suspend(): Promise<void> {
    this.#refuse();
    this.#closed = true;
    this.#host.ended(this.#key, this.#chunks);
  }

  async discard(): Promise<void> {
    this.#refuse();
    this.#closed = true;
    this.#host.ended(this.#key, undefined);
  }

  #whole(): Buffer {
    if (this.#chunks.length !== 1) {
      this.#chunks.splice(0, this.#chunks.length, Buffer.concat(this.#chunks));
    }
    return this.#chunks[0]!;
  }

  #refuse(): void {
    if (this.#busy) throw new HerdError('INTERNAL', `partial ${this.#key} is busy`);
    if (this.#closed) throw new HerdError('INTERNAL', `partial ${this.#key} is closed`);
  }
}

function sizeOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

function slice(body: Buffer, offset: number, length: number): Buffer {
  if (offset < 0 || length < 0 || offset + length > body.length) {
    throw new RangeError(`bytes ${offset}+${length} of ${body.length}`);
  }
  return body.subarray(offset, offset + length);
}
