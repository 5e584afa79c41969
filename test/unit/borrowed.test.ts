import { mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { BorrowingStore } from '../../node/local-apt/borrowing-store.ts';
import { packageBorrower } from '../../node/local-apt/package-borrower.ts';
import { silentLog } from '../../node/platform/log.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { body, hashesOf, put, readAll, storeContract } from '../contract/store.contract.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

storeContract('BorrowingStore', async ({ maxBytes = 1e9, heldElsewhere = () => false }) => {
  const store = new BorrowingStore(
    {
      store: new MemoryStore({ heldElsewhere }, { maxBytes }),
      clock: new ManualClock(),
      log: silentLog,
    },
    { archives: '/nonexistent' },
  );
  return { store, remove: () => store.close() };
});

describe('a package in the archive folder of apt', () => {
  const bytes = body(300_000);
  const digest = digestOf(bytes);
  /** As apt calls it: with the epoch of the version, `:` escaped. */
  const name = 'hello_1%3a2.10-3_amd64.deb';
  const poolName = 'hello_2.10-3_amd64.deb';
  let archives: string;
  let own: MemoryStore;
  let clock: ManualClock;
  let store: BorrowingStore;
  let heard: string[];

  beforeEach(async () => {
    archives = await mkdtemp(join(tmpdir(), 'archives-'));
    await writeFile(join(archives, name), bytes);
    own = new MemoryStore();
    clock = new ManualClock();
    store = new BorrowingStore({ store: own, clock, log: silentLog }, { archives });
    heard = [];
    store.on('added', () => heard.push('added'));
    store.on('removed', () => heard.push('removed'));
  });
  afterEach(() => rm(archives, { recursive: true }));

  const adopt = () => store.adoptPoolFile(digest, poolName, 300_000);

  it('is found by its URL, however that is escaped', async () => {
    const url = 'http://archive.ubuntu.com/ubuntu/pool/main/h/hello/hello%5f2.10-3_amd64.deb';
    expect(await packageBorrower(store)(url, { digest, size: 300_000 })).toBe(true);
    expect([store.objects, own.objects]).toEqual([1, 0]);
  });

  it('is not there for a URL whose escapes are no text', async () => {
    const url = 'http://archive.ubuntu.com/ubuntu/pool/main/h/hello/%E4.deb';
    expect(await packageBorrower(store)(url, { digest, size: 300_000 })).toBe(false);
  });

  it('is served where it lies, outside the budget', async () => {
    const [one, two] = [adopt(), adopt()];
    expect(await Promise.all([one, two])).toEqual([true, true]);
    expect(heard).toEqual(['added']);
    expect(store.stat(digest)).toEqual({ digest, size: 300_000 });
    expect([store.objects, own.objects, store.bytes]).toEqual([1, 0, 0]);
    const reader = (await store.open(digest))!;
    expect((await readAll(reader)).equals(bytes)).toBe(true);
    expect(reader.pieceHashes.equals(hashesOf(bytes))).toBe(true);
    await reader.close();
    await store.delete(digest);
    expect(store.stat(digest)).toBeUndefined();
    expect(await readdir(archives)).toEqual([name]);
  });

  it('is looked for once a second', async () => {
    const other = body(1000);
    const later = () => store.adoptPoolFile(digestOf(other), 'later_1_all.deb', 1000);
    expect(await later()).toBe(false);
    await writeFile(join(archives, 'later_1_all.deb'), other);
    expect(await later()).toBe(false);
    clock.advance(1000);
    expect(await later()).toBe(true);
  });

  it('is not taken with another size, another digest or from another folder', async () => {
    const folder = archives.split('/').at(-1);
    expect(await store.adoptPoolFile(digest, poolName, 299_999)).toBe(false);
    expect(await store.adoptPoolFile(digestOf('x'), poolName, 300_000)).toBe(false);
    expect(await store.adoptPoolFile(digest, `../${folder}/${name}`, 300_000)).toBe(false);
    expect(await store.adoptPoolFile(digest, 'other.deb', 300_000)).toBe(false);
    expect(heard).toEqual([]);
  });

  it('is verified again when it has changed', async () => {
    await adopt();
    await utimes(join(archives, name), 1, 1);
    await (await store.open(digest))!.close();
    expect(heard).toEqual(['added', 'removed', 'added']);
    await writeFile(join(archives, 'new'), body(300_000, 8));
    await rename(join(archives, 'new'), join(archives, name));
    expect(await store.open(digest)).toBeUndefined();
    expect([store.objects, heard.at(-1)]).toEqual([0, 'removed']);
  });

  it('stays readable through `apt clean` while it is open, and is gone then', async () => {
    await adopt();
    const reader = (await store.open(digest))!;
    await rm(join(archives, name));
    expect((await readAll(reader)).equals(bytes)).toBe(true);
    await reader.close();
    expect(await store.open(digest)).toBeUndefined();
    expect(heard).toEqual(['added', 'removed']);
  });

  it('is one object with a copy in the store', async () => {
    await adopt();
    await put(store, bytes);
    expect(store.objects).toBe(1);
    expect(heard).toEqual(['added']);
    expect(await adopt()).toBe(true);
  });
});
