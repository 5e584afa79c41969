import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Digest, digestOf, sha256 } from '../../node/content/digest.ts';
import { PIECE_BYTES, SMALL_BYTES } from '../../node/limits.ts';
import { type Clock, systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { seededRandom } from '../../node/platform/random.ts';
import type { Store } from '../../node/store/store.ts';
import { body, hashesOf, put, readAll, storeContract } from '../contract/store.contract.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { type StoreFolder, storeFolder } from '../fixtures/store-folder.ts';

storeContract('FileStore', async ({ maxBytes = 1e9, heldElsewhere = () => false }) => {
  const place = await storeFolder();
  const store = await place.open({ maxBytes }, { heldElsewhere });
  return { store, remove: place.remove };
});

let place: StoreFolder;
beforeEach(async () => {
  place = await storeFolder();
});
afterEach(() => place.remove());

const pathOf = (digest: Digest) => join(place.folder, 'objects', digest.slice(0, 2), digest);
const piecesPathOf = (digest: Digest) => join(place.folder, 'pieces', digest.slice(0, 2), digest);

async function flipByte(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
  await file.write(Buffer.from([buffer[0]! ^ 1]), 0, 1, at);
  await file.close();
}

async function has(store: Store, bytes: Buffer): Promise<boolean> {
  const reader = await store.open(digestOf(bytes));
  if (reader === undefined) return false;
  const same = (await readAll(reader)).equals(bytes) && reader.pieceHashes.equals(hashesOf(bytes));
  await reader.close();
  return same;
}

/** To which no disk seems slow, however busy the machine. */
const promptClock: Clock = { ...systemClock, monotonicMs: () => 0 };

/** Resolves to the turns of the event loop that it took, and what came of it. */
async function turnsOf<T>(promise: Promise<T>): Promise<[turns: number, result: T]> {
  let ended = false;
  const result = promise.finally(() => {
    ended = true;
  });
  let turns = 0;
  for (; !ended; turns++) await new Promise(setImmediate);
  return [turns, await result];
}

/** What kill -9 leaves: the index as it was in mid-run. */
async function forgetCleanEnd(): Promise<void> {
  const index = await open(join(place.folder, 'store.index'), 'a');
  await index.write('! opened\n');
  await index.close();
}

describe('a file store that starts again', () => {
  it('finds what it had, in the order of use, and partial objects', async () => {
    const store = await place.open();
    const digests: Digest[] = [];
    for (let size = 1; size <= 3; size++) digests.push(await put(store, body(size * 100_000)));
    await (await store.open(digests[0]!))!.close();
    const partial = await store.partial('half');
    await partial.append(body(5000));
    await store.close();
    const again = await place.open();
    const order = Array.from(again.list(), ({ digest }) => digest);
    expect(order).toEqual([digests[1], digests[2], digests[0]]);
    expect(again.stat(digests[0]!)).toHaveProperty('lastModified', 'Tue, 01 Jul 2025 10:00:00 GMT');
    expect(await has(again, body(300_000))).toBe(true);
    expect((await again.partial('half')).bytes).toBe(5000);
    await expect(store.open(digests[0]!)).rejects.toThrow('store is closed');
  });

  it('finds everything without its index', async () => {
    const store = await place.open();
    for (const size of [0, 10, 300_000]) await put(store, body(size));
    await store.close();
    await unlink(join(place.folder, 'store.index'));
    const again = await place.open();
    for (const size of [0, 10, 300_000]) expect(await has(again, body(size))).toBe(true);
  });

  it('verifies after an unclean end what may not have reached the disk', async () => {
    const store = await place.open();
    const good = await put(store, body(200_000));
    const bad = await put(store, body(200_001));
    const short = await put(store, body(200_002));
    await store.close();
    await forgetCleanEnd();
    await flipByte(pathOf(bad), 150_000);
    await truncate(pathOf(short), 100);
    const again = await place.open();
    expect(again.objects).toBe(3);
    expect(await again.open(bad)).toBeUndefined();
    expect(await again.open(short)).toBeUndefined();
    expect(await has(again, body(200_000))).toBe(true);
    expect(Array.from(again.list(), ({ digest }) => digest)).toEqual([good]);
    expect(await readdir(join(place.folder, 'pieces', bad.slice(0, 2)))).not.toContain(bad);
  });

  it('verifies it in the background, too', async () => {
    const store = await place.open();
    const bad = await put(store, body(1000));
    await store.close();
    await forgetCleanEnd();
    await flipByte(pathOf(bad), 5);
    const again = await place.open({ verifyAfterMs: 1 });
    const removed = new Promise((resolve) => again.on('removed', resolve));
    expect(await removed).toHaveProperty('digest', bad);
  });

  it('does not take what came in meanwhile for the damaged object it replaces', async () => {
    const first = await place.open();
    const bytes = body(200_000);
    const digest = await put(first, bytes);
    await first.close();
    await forgetCleanEnd();
    await flipByte(pathOf(digest), 5);
    const clock = new ManualClock();
    const found: string[] = [];
    const log = { ...silentLog, warn: (_: object, line: string) => void found.push(line) };
    const store = await place.open({ verifyAfterMs: 5000, settleMs: 1e9 }, { clock, log });
    const before = clock.pending;
    clock.advance(5000);
    await expect.poll(() => clock.pending).toBe(before);
    await put(store, bytes);
    clock.advance(10);
    await expect.poll(() => found).toEqual(['stored object is damaged: removed']);
    expect(await has(store, bytes)).toBe(true);
  });

  it('trusts what was flushed to the disk before the unclean end', async () => {
    const store = await place.open({ settleMs: 1 });
    const digest = await put(store, body(200_000));
    const index = join(place.folder, 'store.index');
    const settled = new RegExp(`^\\+ ${digest} .* S$`, 'm');
    const isSettled = async () => settled.test(await readFile(index, 'latin1'));
    await expect.poll(isSettled).toBe(true);
    await store.close();
    await forgetCleanEnd();
    await flipByte(pathOf(digest), 1);
    // Opens unread, therefore; the hash of the piece tells whoever reads it.
    const reader = (await (await place.open()).open(digest))!;
    const piece = await reader.read(0, PIECE_BYTES);
    expect(sha256(piece).equals(reader.pieceHashes.subarray(0, 32))).toBe(false);
    await reader.close();
  });

  it('makes lost piece hashes anew, and only for right bytes', async () => {
    const store = await place.open();
    const digest = await put(store, body(300_000));
    const other = await put(store, body(300_001));
    await store.close();
    await rm(join(place.folder, 'pieces'), { recursive: true });
    await flipByte(pathOf(other), 1);
    const again = await place.open();
    expect(await has(again, body(300_000))).toBe(true);
    expect(await again.open(other)).toBeUndefined();
    expect(again.stat(digest)).toBeDefined();
  });

  it('drops what was removed or cut behind its back', async () => {
    const store = await place.open();
    const gone = await put(store, body(500));
    const cut = await put(store, body(501));
    await store.close();
    await truncate(pathOf(cut), 7);
    const again = await place.open();
    await unlink(pathOf(gone));
    expect(await again.open(gone)).toBeUndefined();
    expect(await again.open(cut)).toBeUndefined();
    expect([again.objects, again.bytes]).toEqual([0, 0]);
  });

  it('removes partial objects of more than a day', async () => {
    const store = await place.open();
    for (const key of ['old', 'new']) await (await store.partial(key)).append(body(10));
    await store.close();
    const past = new Date(Date.now() - 25 * 3600_000);
    await utimes(join(place.folder, 'partial', 'old'), past, past);
    await place.open();
    expect(await readdir(join(place.folder, 'partial'))).toEqual(['new']);
  });

  it('keeps what a crash left without an index line, if it is right', async () => {
    const store = await place.open();
    const digest = await put(store, body(300_000));
    const bad = await put(store, body(300_001));
    await store.close();
    await flipByte(pathOf(bad), 1);
    const index = await open(join(place.folder, 'store.index'), 'a');
    await index.write(`- ${digest}\n+ ${bad} 300001 - 5 S\n- ${bad}\n+ torn`);
    await index.close();
    const again = await place.open();
    expect(await has(again, body(300_000))).toBe(true);
    expect(await again.open(bad)).toBeUndefined();
  });

  it('knows roughly what was used last, even when it was killed', async () => {
    let hours = 0;
    const clock = { ...systemClock, nowMs: () => Date.now() + hours * 3600_000 };
    const store = await place.open({}, { clock });
    const [one, two, three] = [
      await put(store, body(1)),
      await put(store, body(2)),
      await put(store, body(3)),
    ];
    await (await store.open(two))!.close();
    hours = 2;
    for (let time = 0; time < 5; time++) await (await store.open(one))!.close();
    const index = join(place.folder, 'store.index');
    await expect.poll(async () => (await readFile(index, 'latin1')).split(one).length).toBe(3);
    const killed = await readFile(index);
    await store.close();
    await writeFile(index, killed);
    const again = await place.open();
    expect(Array.from(again.list(), ({ digest }) => digest)).toEqual([two, three, one]);
  });

  it('knows what others hold, and gives it up first', async () => {
    const own = await place.open();
    const [old, young] = [body(300, 1), body(300, 3)];
    await put(own, old);
    await own.close();
    const store = await place.open({}, { heldElsewhere: () => true });
    const copy = await put(store, body(300, 2));
    await store.close();
    const again = await place.open({ maxBytes: 900 });
    await put(again, young);
    expect(again.objects).toBe(3);
    await put(again, body(100));
    expect(again.stat(copy)).toBeUndefined();
    expect(again.objects).toBe(3);
  });

  it('evicts to a smaller budget', async () => {
    const store = await place.open();
    for (const size of [300, 301, 302]) await put(store, body(size));
    await store.close();
    expect((await place.open({ maxBytes: 650 })).bytes).toBe(603);
  });
});

describe('a file store that closes', () => {
  it('lets what is being committed end, and removes nothing later', async () => {
    const clock = new ManualClock();
    const store = await place.open({ maxBytes: 1000 }, { clock });
    const bytes = body(500_000);
    const partial = await store.partial('k');
    await partial.append(bytes);
    let committed = false;
    const object = { digest: digestOf(bytes), size: bytes.length };
    const done = partial.commit(object, hashesOf(bytes)).then(() => {
      committed = true;
    });
    await new Promise(setImmediate);
    expect(committed).toBe(false);
    await store.close();
    expect(committed).toBe(true);
    await done;
    expect(clock.pending).toBe(0);
    const again = await place.open();
    expect(await has(again, bytes)).toBe(true);
  });

  it('keeps what was appended, also while more is being', async () => {
    const store = await place.open();
    const partial = await store.partial('k', 100_000);
    await partial.append(body(1000));
    const more = partial.append(body(2000)).catch(() => {});
    await store.close();
    await more;
    expect(partial.bytes).toBeGreaterThan(0);
    expect((await (await place.open()).partial('k')).bytes).toBe(partial.bytes);
  });
});

describe('a file store under pressure', () => {
  it('finds at its start what is larger than the budget, and keeps it for a minute', async () => {
    const first = await place.open();
    const digest = await put(first, body(5000));
    await first.close();
    const clock = new ManualClock();
    const store = await place.open({ maxBytes: 1000 }, { clock });
    clock.advance(59_999);
    expect(store.stat(digest)).toBeDefined();
    clock.advance(1);
    await expect.poll(() => store.stat(digest)).toBeUndefined();
    // It is gone from the table first, then from the disk.
    await expect.poll(() => readdir(join(pathOf(digest), '..'))).toEqual([]);
  });

  it('serves repeated hits without the disk', async () => {
    const store = await place.open();
    const digest = await put(store, body(200_000));
    expect(await has(store, body(200_000))).toBe(true);
    expect(await has(store, body(200_000))).toBe(true);
    await truncate(pathOf(digest), 0);
    expect(await has(store, body(200_000))).toBe(true);
  });

  it('keeps what is larger than the budget for a minute, and its readers longer', async () => {
    const timers: { at: number; fn: () => void }[] = [];
    const clock: Clock = {
      ...systemClock,
      after: (at, fn) => {
        timers.push({ at, fn });
        return { cancel() {} };
      },
    };
    const minutePasses = () =>
      timers
        .filter(({ at }) => at === 60_000)
        .at(-1)!
        .fn();
    const store = await place.open({ maxBytes: 1000 }, { clock });
    const large = await put(store, body(5000));
    for (const size of [600, 601]) await put(store, body(size));
    expect(Array.from(store.list(), ({ size }) => size)).toEqual([5000, 601]);
    const reader = (await store.open(large))!;
    minutePasses();
    await expect.poll(() => timers.filter(({ at }) => at === 60_000).length).toBe(2);
    expect(store.stat(large)).toBeDefined();
    await reader.close();
    minutePasses();
    await expect.poll(() => store.stat(large)).toBeUndefined();
    expect(store.bytes).toBe(601);
  });

  it('reads a partial object while it moves to its place, with one descriptor', async () => {
    const store = await place.open({ openFiles: 1, hotBytes: 0 });
    const other = (await store.open(await put(store, body(1000))))!;
    const bytes = body(500_000);
    const partial = await store.partial('k');
    await partial.append(bytes);
    let moving = true;
    const object = { digest: digestOf(bytes), size: bytes.length };
    const committed = partial.commit(object, hashesOf(bytes)).finally(() => {
      moving = false;
    });
    const reads: Promise<Buffer>[] = [];
    while (moving) {
      reads.push(partial.read(1000, 10), other.read(0, 10));
      await new Promise(setImmediate);
    }
    await committed;
    const wanted = bytes.subarray(1000, 1010);
    for (let at = 0; at < reads.length; at += 2) expect(await reads[at]).toEqual(wanted);
    await Promise.all(reads);
    await other.close();
  });

  it('takes into memory what was read before, not what was only opened', async () => {
    const store = await place.open();
    const digest = await put(store, body(1000));
    for (let time = 0; time < 2; time++) await (await store.open(digest))?.close();
    expect(store.atHand(digest)).toBeUndefined();
    expect(await has(store, body(1000))).toBe(true);
    await (await store.open(digest))?.close();
    expect(store.atHand(digest)).toBeDefined();
  });

  it('reads into the memory it is given, at once what was written a moment ago', async () => {
    const store = await place.open({}, { clock: promptClock });
    const bytes = body(3 * PIECE_BYTES);
    const partial = await store.partial('k');
    await partial.append(bytes);
    const into = Buffer.alloc(PIECE_BYTES);
    expect(await turnsOf(partial.read(PIECE_BYTES, PIECE_BYTES, into))).toEqual([1, into]);
    expect(into.equals(bytes.subarray(PIECE_BYTES, 2 * PIECE_BYTES))).toBe(true);
  });

  it('reads small objects into it at once, too, for a while', async () => {
    let nowMs = Date.now();
    const store = await place.open({}, { clock: { ...promptClock, nowMs: () => nowMs } });
    const [fresh, old] = [body(3 * PIECE_BYTES), body(4 * PIECE_BYTES)];
    const unread = body(2 * PIECE_BYTES);
    for (const bytes of [fresh, old, unread]) await put(store, bytes);
    const into = Buffer.alloc(PIECE_BYTES);
    const [turns, reader] = await turnsOf(store.open(digestOf(fresh)));
    expect(turns).toBe(1);
    expect(reader!.pieceHashes).toEqual(hashesOf(fresh));
    expect(await turnsOf(reader!.read(PIECE_BYTES, PIECE_BYTES, into))).toEqual([1, into]);
    expect(into.equals(fresh.subarray(PIECE_BYTES, 2 * PIECE_BYTES))).toBe(true);
    await reader!.close();
    nowMs += 700_000;
    const late = (await store.open(digestOf(old)))!;
    const [more] = await turnsOf(late.read(0, PIECE_BYTES, into));
    expect(more).toBeGreaterThan(1);
    expect(into.equals(old.subarray(0, PIECE_BYTES))).toBe(true);
    await late.close();
    await (await store.open(digestOf(unread)))!.close();
    const [again, second] = await turnsOf(store.open(digestOf(unread)));
    expect(again).toBeGreaterThan(1);
    await second!.close();
  });

  it('loses nothing it said it had when it is killed', { timeout: 30_000 }, async () => {
    const random = seededRandom(7);
    for (let round = 0; round < 6; round++) {
      const script = join(import.meta.dirname, '../fixtures/store-writer.ts');
      const child = spawn(process.execPath, [script, place.folder, String(round)]);
      let said = '';
      child.stdout.on('data', (text: Buffer) => {
        said += text.toString();
      });
      await once(child.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, random.next() * 120));
      child.kill('SIGKILL');
      await once(child, 'close');
      const store = await place.open({ maxBytes: 3_000_000 });
      const last = said.trim().split('\n').at(-1)!;
      expect(store.stat(last), `round ${round}`).toBeDefined();
      for (const { digest, size } of store.list()) {
        const reader = (await store.open(digest))!;
        expect([digestOf(await readAll(reader)), reader.size]).toEqual([digest, size]);
        await reader.close();
      }
      await store.close();
    }
  });

  it('reads a thousand at once with hardly a descriptor', { timeout: 30_000 }, async () => {
    const store = await place.open();
    for (let size = 1; size <= 150; size++) await put(store, body(size * 1000));
    await store.close();
    const script = join(import.meta.dirname, '../fixtures/store-crowd.ts');
    const command = `ulimit -n 256 && exec ${process.execPath} ${script} ${place.folder}`;
    const child = spawnSync('sh', ['-c', command], { encoding: 'utf8' });
    expect(child.stdout + child.stderr).toBe('1000 right\n');
  });

  it('takes no more space than it must leave free', async () => {
    const store = await place.open({ minFreeBytes: 2 ** 60 });
    const partial = await store.partial('k');
    await expect(partial.append(body(10))).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(partial.bytes).toBe(0);
  });
});

describe.each([40_000, 3.5 * PIECE_BYTES])('a small object of %i bytes', (size) => {
  const bytes = body(size);
  const object = { digest: digestOf(bytes), size };
  const partials = () => readdir(join(place.folder, 'partial'));

  it('comes in without a file of its own before it is whole', async () => {
    const store = await place.open();
    const partial = await store.partial(object.digest, object.size);
    const half = Buffer.from(bytes.subarray(0, 20_000));
    await partial.append(half);
    half.fill(0);
    await partial.append(bytes.subarray(20_000));
    expect(await partials()).toEqual([]);
    expect((await partial.read(19_000, 2000)).equals(bytes.subarray(19_000, 21_000))).toBe(true);
    await partial.commit(object, hashesOf(bytes));
    expect(await partials()).toEqual([]);
    expect((await readFile(pathOf(object.digest))).equals(bytes)).toBe(true);
    expect((await partial.read(0, object.size)).equals(bytes)).toBe(true);
    await store.close();
    expect(await has(await place.open(), bytes)).toBe(true);
  });

  it('goes by a file when it is suspended, or larger than it was said to be', async () => {
    const store = await place.open();
    const counts = { less: 1, more: Math.ceil((SMALL_BYTES + 1) / size) };
    for (const [key, count] of Object.entries(counts)) {
      const partial = await store.partial(key, size);
      for (let n = 0; n < count; n++) await partial.append(bytes);
      expect((await partials()).includes(key)).toBe(count * size > SMALL_BYTES);
      await partial.suspend();
    }
    await store.close();
    const again = await place.open();
    for (const [key, count] of Object.entries(counts)) {
      const partial = await again.partial(key);
      expect(partial.bytes).toBe(count * size);
      expect(digestOf(await partial.read(0, partial.bytes))).toBe(
        digestOf(Buffer.concat(Array(count).fill(bytes))),
      );
    }
  });

  it('replaces files of that name, whatever is in them', async () => {
    const store = await place.open();
    await put(store, bytes);
    await truncate(pathOf(object.digest), 100);
    await put(store, bytes);
    expect(await has(store, bytes)).toBe(true);
    await store.delete(object.digest);
    await mkdir(join(piecesPathOf(object.digest), '..'), { recursive: true });
    await writeFile(piecesPathOf(object.digest), 'no hashes '.repeat(100));
    await put(store, bytes);
    expect(await has(store, bytes)).toBe(true);
    expect([store.objects, store.bytes, await partials()]).toEqual([1, size, []]);
  });
});

it('a small object is written by other threads for a while when the disk is slow', async () => {
  let nowMs = 0;
  let stepMs = 300;
  const monotonicMs = () => {
    nowMs += stepMs;
    return nowMs;
  };
  const store = await place.open({}, { clock: { ...systemClock, monotonicMs } });
  const changedNs = async () =>
    (await stat(join(place.folder, 'partial'), { bigint: true })).mtimeNs;
  const byFile = async (bytes: Buffer) => {
    const before = await changedNs();
    await put(store, bytes);
    return (await changedNs()) !== before;
  };
  expect(await byFile(body(1000))).toBe(false);
  stepMs = 0;
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(await byFile(body(2000))).toBe(true);
  nowMs += 11_000;
  expect(await byFile(body(3000))).toBe(false);
  expect(await has(store, body(2000))).toBe(true);
});

it('writes the index twice a second at most', async () => {
  const clock = new ManualClock();
  const store = await place.open({}, { clock });
  const written = async () => String(await readFile(join(place.folder, 'store.index')));
  await expect.poll(written).toBe('! opened\n');
  const digests = [await put(store, body(1)), await put(store, body(2))];
  expect(await written()).toBe('! opened\n');
  clock.advance(500);
  await expect.poll(written).toContain(digests[1]);
  expect(await written()).toContain(digests[0]);
});

const canMount = process.getuid?.() === 0;
it('gives the room back of what it discards, and does not only unlink it', async () => {
  const store = await place.open();
  const name = (index: number) => `large-${index}-`;
  const discarded = Array.from({ length: 16 }, async (_, index) => {
    const partial = await store.partial(name(index));
    await partial.append(body(8_000_000));
    await partial.discard();
    return openFiles().some((path) => path.includes(name(index)));
  });
  expect(await Promise.all(discarded)).not.toContain(true);
});

/** Of this process, at this moment. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
}

describe.runIf(canMount)('a file store on a full disk', () => {
  let mounted: string;
  let full: StoreFolder;
  beforeEach(async () => {
    mounted = await mkdtemp(join(tmpdir(), 'full-'));
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mounted]);
    expect(mount.status).toBe(0);
    full = await storeFolder(join(mounted, 'state'));
  });
  afterEach(async () => {
    await full.remove();
    expect(spawnSync('umount', [mounted]).status).toBe(0);
    await rm(mounted, { recursive: true });
  });

  it('evicts, and only then refuses, without harm to earlier bytes', async () => {
    const store = await full.open();
    for (let size = 1; size <= 7; size++) await put(store, body(1_000_000 + size));
    const large = await store.partial('large');
    const chunk = body(500_000);
    let appended = 0;
    const fill = async () => {
      for (; appended < 40; appended++) await large.append(chunk);
    };
    await expect(fill()).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(appended).toBeGreaterThan(13);
    expect(store.objects).toBe(0);
    expect(large.bytes).toBe(appended * chunk.length);
    expect((await large.read(0, chunk.length)).equals(chunk)).toBe(true);
    await large.discard();
    await put(store, body(1_000_000));
    expect(await has(store, body(1_000_000))).toBe(true);
  });

  it('evicts for a small object, or leaves no part of it', async () => {
    const store = await full.open();
    await put(store, body(1_000_000));
    const ballast = join(mounted, 'ballast');
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096']);
    const small = await put(store, body(100_000));
    expect(Array.from(store.list(), ({ digest }) => digest)).toEqual([small]);
    await store.delete(small);
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096']);
    await expect(put(store, body(90_000))).rejects.toMatchObject({ code: 'ENOSPC' });
    const digest = digestOf(body(90_000));
    expect(await readdir(join(mounted, 'state/objects'), { recursive: true })).not.toContain(
      join(digest.slice(0, 2), digest),
    );
    await unlink(ballast);
    await put(store, body(80_000));
    expect(await has(store, body(80_000))).toBe(true);
  });

  it('leaves no part of a small object either when only its piece hashes do not fit', async () => {
    const store = await full.open();
    // So that its folders are there.
    await store.delete(await put(store, body(400_000)));
    const ballast = join(mounted, 'ballast');
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4096']);
    await truncate(ballast, (await stat(ballast)).size - 98 * 4096);
    await expect(put(store, body(400_000))).rejects.toMatchObject({ code: 'ENOSPC' });
    const digest = digestOf(body(400_000));
    expect(await readdir(join(mounted, 'state/objects', digest.slice(0, 2)))).toEqual([]);
    await unlink(ballast);
    await put(store, body(390_000));
    expect(await has(store, body(390_000))).toBe(true);
  });
});
