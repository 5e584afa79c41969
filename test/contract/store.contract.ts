// What every store must do. Called with a way to make one: see test/unit/*-store.test.ts.
import { afterEach, describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../node/content/digest.ts';
import { PieceHasher } from '../../node/content/piece-hashes.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { seededRandom } from '../../node/platform/random.ts';
import type { ObjectReader, Store } from '../../node/store/store.ts';

export interface StoreFixture {
  readonly store: Store;
  /** Removes what the fixture made. */
  readonly remove: () => Promise<void>;
}

export type MakeStore = (options: {
  maxBytes?: number;
  heldElsewhere?: (digest: Digest) => boolean;
}) => Promise<StoreFixture>;

const lastModified = 'Tue, 01 Jul 2025 10:00:00 GMT';

/** Repeatable bytes. */
export function body(size: number, seed = size): Buffer {
  const block = seededRandom(seed).bytes(Math.min(size, 4099));
  return Buffer.alloc(size, block.length > 0 ? block : 0);
}

/** Brings an object in as delivery does, in appends of `chunk` bytes. */
export async function put(store: Store, bytes: Buffer, chunk = 64 * 1024): Promise<Digest> {
  const digest = digestOf(bytes);
  const partial = await store.partial(digest, bytes.length);
  for (let at = 0; at < bytes.length; at += chunk)
    await partial.append(bytes.subarray(at, at + chunk));
  await partial.commit({ digest, size: bytes.length, lastModified }, hashesOf(bytes));
  return digest;
}

export function hashesOf(bytes: Buffer): Buffer {
  const hasher = new PieceHasher();
  hasher.update(bytes);
  return hasher.end();
}

export async function readAll(reader: ObjectReader, chunk = 100_000): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let at = 0; at < reader.size; at += chunk) {
    parts.push(await reader.read(at, Math.min(chunk, reader.size - at)));
  }
  return Buffer.concat(parts);
}

export function storeContract(name: string, make: MakeStore): void {
  describe(`${name} is a store`, () => {
    const made: StoreFixture[] = [];
    const fixture = async (options: Parameters<MakeStore>[0] = {}) => {
      const one = await make(options);
      made.push(one);
      return one;
    };
    afterEach(async () => {
      for (const one of made.splice(0)) await one.remove();
    });

    const sizes = [0, 1, 1000, PIECE_BYTES, PIECE_BYTES + 1, PIECE_BYTES * 3.5];
    for (const size of sizes) it(`keeps an object of ${size} bytes`, () => keeps(fixture, size));
    partials(fixture);
    objects(fixture);
    budget(fixture);
  });
}

type Make = (options?: Parameters<MakeStore>[0]) => Promise<StoreFixture>;

async function keeps(fixture: Make, size: number): Promise<void> {
  const { store } = await fixture();
  const bytes = body(size);
  const digest = await put(store, bytes);
  expect(store.stat(digest)).toEqual({ digest, size, lastModified });
  // Three times: from disk, into memory, from memory.
  for (let time = 0; time < 3; time++) {
    const reader = (await store.open(digest))!;
    expect(reader).toMatchObject({ digest, size, lastModified });
    expect((await readAll(reader)).equals(bytes)).toBe(true);
    expect(reader.pieceHashes.equals(hashesOf(bytes))).toBe(true);
    await expect(reader.read(0, size + 1)).rejects.toThrow();
    await reader.close();
    await reader.close();
  }
}

function partials(fixture: Make): void {
  it('reads back while it grows, and after the commit', async () => {
    const { store } = await fixture();
    const bytes = body(5000);
    const partial = await store.partial('some.key_1');
    await partial.append(bytes.subarray(0, 2000));
    expect((await partial.read(500, 1500)).equals(bytes.subarray(500, 2000))).toBe(true);
    await expect(partial.read(1999, 2)).rejects.toThrow();
    await partial.append(bytes.subarray(2000));
    expect(partial.bytes).toBe(5000);
    expect(store.objects).toBe(0);
    const digest = digestOf(bytes);
    const committed = partial.commit({ digest, size: 5000 }, hashesOf(bytes));
    const during = partial.read(0, 5000);
    await committed;
    expect((await during).equals(bytes)).toBe(true);
    expect((await partial.read(4000, 1000)).equals(bytes.subarray(4000))).toBe(true);
    await expect(partial.append(bytes)).rejects.toThrow('closed');
    expect(store.stat(digest)).toEqual({ digest, size: 5000 });
  });

  it('resumes a suspended partial', async () => {
    const { store } = await fixture();
    const first = await store.partial('k');
    await first.append(body(3000));
    await first.suspend();
    await expect(first.append(body(1))).rejects.toThrow('closed');
    const again = await store.partial('k');
    expect(again.bytes).toBe(3000);
    expect((await again.read(0, 3000)).equals(body(3000))).toBe(true);
    await again.append(body(10));
    expect((await again.read(3000, 10)).equals(body(10))).toBe(true);
  });

  it('forgets a discarded partial', async () => {
    const { store } = await fixture();
    const partial = await store.partial('k');
    await partial.append(body(3000));
    await partial.discard();
    expect((await store.partial('k')).bytes).toBe(0);
  });

  it('gives a key to one at a time, and refuses other names', async () => {
    const { store } = await fixture();
    const partial = await store.partial('k');
    await expect(store.partial('k')).rejects.toThrow('partial k is in use');
    await partial.discard();
    await store.partial('k');
    for (const key of ['..', '.', '', 'a/b', 'a b', 'x'.repeat(201)]) {
      await expect(store.partial(key)).rejects.toThrow('bad partial key');
    }
  });

  it('refuses two changes at once and a commit of another size', async () => {
    const { store } = await fixture();
    const partial = await store.partial('k');
    const [one, two] = await Promise.allSettled([partial.append(body(9)), partial.append(body(9))]);
    expect([one.status, two.status]).toEqual(['fulfilled', 'rejected']);
    const object = { digest: digestOf(body(9)), size: 8 };
    await expect(partial.commit(object, hashesOf(body(9)))).rejects.toThrow('has 9 bytes, not 8');
    await partial.commit({ ...object, size: 9 }, hashesOf(body(9)));
  });
}

function objects(fixture: Make): void {
  it('has at hand what was read twice, while it is here', async () => {
    const { store } = await fixture({ maxBytes: 3000 });
    const bytes = body(1000);
    const digest = await put(store, bytes);
    for (let time = 0; time < 2; time++) {
      const reader = await store.open(digest);
      if (reader) await readAll(reader);
      await reader?.close();
    }
    const reader = store.atHand(digest)!;
    expect(reader).toMatchObject({ digest, size: 1000, lastModified });
    expect(reader.body?.equals(bytes)).toBe(true);
    expect(reader.pieceHashes.equals(hashesOf(bytes))).toBe(true);
    expect((await readAll(reader)).equals(bytes)).toBe(true);
    // It counts as used, and what is open is not evicted.
    await put(store, body(1001));
    store.atHand(digest);
    await put(store, body(1002));
    await reader.close();
    expect(store.stat(digest)).toBeDefined();
    await store.delete(digest);
    expect(store.atHand(digest)).toBeUndefined();
    await store.close();
    expect(store.atHand(digest)).toBeUndefined();
  });

  it('knows nothing of an unknown digest', async () => {
    const { store } = await fixture();
    const digest = digestOf('nobody');
    expect(store.stat(digest)).toBeUndefined();
    expect(await store.open(digest)).toBeUndefined();
    await store.delete(digest);
  });

  it('lists, counts and tells what comes and goes', async () => {
    const { store } = await fixture();
    const heard: string[] = [];
    store.on('added', ({ digest }) => heard.push(`+${digest}`));
    store.on('removed', ({ digest }) => heard.push(`-${digest}`));
    const one = await put(store, body(100));
    const two = await put(store, body(200));
    await put(store, body(200));
    expect([store.objects, store.bytes]).toEqual([2, 300]);
    expect(Array.from(store.list(), ({ digest }) => digest).sort()).toEqual([one, two].sort());
    await store.delete(one);
    expect([store.objects, store.bytes]).toEqual([1, 200]);
    expect(await store.open(one)).toBeUndefined();
    expect(heard).toEqual([`+${one}`, `+${two}`, `-${one}`]);
  });

  it('survives using every object while listing', async () => {
    const { store } = await fixture();
    for (let size = 1; size <= 20; size++) await put(store, body(size));
    let seen = 0;
    for (const { digest } of store.list()) {
      await (await store.open(digest))!.close();
      seen++;
    }
    expect(seen).toBe(20);
  });

  it('serves a hundred readers of one object at once', async () => {
    const { store } = await fixture();
    const bytes = body(PIECE_BYTES * 2 + 77);
    const digest = await put(store, bytes);
    const same = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const reader = (await store.open(digest))!;
        const all = await readAll(reader);
        await reader.close();
        return all.equals(bytes);
      }),
    );
    expect(same.every(Boolean)).toBe(true);
  });

  it('keeps what is open readable when it is deleted, and lets it come in again', async () => {
    const { store } = await fixture();
    const bytes = body(300_000);
    const digest = await put(store, bytes);
    const reader = (await store.open(digest))!;
    await store.delete(digest);
    expect(store.stat(digest)).toBeUndefined();
    expect((await readAll(reader)).equals(bytes)).toBe(true);
    await put(store, bytes);
    expect((await readAll(reader)).equals(bytes)).toBe(true);
    await reader.close();
    const again = (await store.open(digest))!;
    expect((await readAll(again)).equals(bytes)).toBe(true);
    await again.close();
  });
}

function budget(fixture: Make): void {
  it('evicts the longest unused when the budget is full', async () => {
    const { store } = await fixture({ maxBytes: 1000 });
    const [one, two, three] = [
      await put(store, body(300, 1)),
      await put(store, body(300, 2)),
      await put(store, body(300, 3)),
    ];
    await (await store.open(one))!.close();
    const four = await put(store, body(300, 4));
    expect(Array.from(store.list(), ({ digest }) => digest).sort()).toEqual(
      [one, three, four].sort(),
    );
    expect(store.stat(two)).toBeUndefined();
    expect(store.bytes).toBe(900);
  });

  it('evicts what others hold before a last copy, and never what is being read', async () => {
    const [a, b, c, d] = [body(300, 1), body(300, 2), body(300, 3), body(300, 4)];
    const elsewhere = new Set([digestOf(b), digestOf(c)]);
    const heldElsewhere = (digest: Digest) => elsewhere.has(digest);
    const { store } = await fixture({ maxBytes: 1000, heldElsewhere });
    for (const bytes of [a, b, c]) await put(store, bytes);
    const reading = (await store.open(digestOf(b)))!;
    await put(store, d);
    expect(store.stat(digestOf(c))).toBeUndefined();
    expect([a, b, d].every((bytes) => store.stat(digestOf(bytes)) !== undefined)).toBe(true);
    await reading.close();
  });

  it('counts half objects, and gives up suspended ones first', async () => {
    const { store } = await fixture({ maxBytes: 1000 });
    const kept = await put(store, body(300));
    const partial = await store.partial('half');
    await partial.append(body(500));
    await partial.suspend();
    await put(store, body(400));
    expect(store.stat(kept)).toBeDefined();
    expect((await store.partial('half')).bytes).toBe(0);
  });

  it('takes an object larger than the budget without giving up the others', async () => {
    const { store } = await fixture({ maxBytes: 1000 });
    const small = await put(store, body(600));
    const large = await put(store, body(5000));
    expect(store.stat(small)).toBeDefined();
    const reader = (await store.open(large))!;
    expect((await readAll(reader)).equals(body(5000))).toBe(true);
    await reader.close();
  });
}
