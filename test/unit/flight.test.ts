// An object on its way in: what its readers get, whatever its source and its store do.

import { afterEach, describe, expect, test } from 'vitest';
import { digestOf, sha256 } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { HerdError } from '../../node/errors.ts';
import { Flight } from '../../node/flight/flight.ts';
import type { FlightReader } from '../../node/flight/flight-reader.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { seededRandom } from '../../node/platform/random.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import type { PartialObject, Store } from '../../node/store/store.ts';
import { fullStore } from '../fixtures/full-store.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const url = 'http://archive.ubuntu.com/ubuntu/pool/main/b/big/big_1_amd64.deb';

function bytesOf(size: number, seed = 1): Buffer {
  return Buffer.alloc(size, seededRandom(seed).bytes(997));
}

function piecesOf(body: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += PIECE_BYTES) {
    pieces.push(body.subarray(at, at + PIECE_BYTES));
  }
  return pieces;
}

interface Setup {
  readonly store?: Store;
  readonly clock?: ManualClock;
  readonly size?: number | undefined;
  readonly pool?: PiecePool;
}

/** A flight whose partial is still to come. */
function opening(body: Buffer, store: Store, log = silentLog) {
  const key = digestOf(body);
  const deps = { pool: new PiecePool(), store, clock: systemClock, log };
  const flight = new Flight(deps, { key, digest: key, size: body.length, url });
  return { flight, opened: flight.open() };
}

async function flightOf(body: Buffer, setup: Setup = {}): Promise<Flight> {
  const { store = new MemoryStore(), clock = systemClock, pool = new PiecePool() } = setup;
  const size = 'size' in setup ? setup.size : body.length;
  const digest = digestOf(body);
  const flight = new Flight(
    { pool, store, clock, log: silentLog },
    { key: digest, digest, url, ...(size === undefined ? {} : { size }) },
  );
  await flight.open();
  return flight;
}

async function readAll(flight: Flight, reader: FlightReader): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    for (;;) {
      while (reader.status === 'waiting') await flight.changed();
      if (reader.status === 'failed') throw flight.error;
      if (reader.status === 'end') return Buffer.concat(parts);
      parts.push((await reader.next()).bytes);
    }
  } finally {
    reader.close();
  }
}

async function feed(flight: Flight, body: Buffer, from = 0): Promise<void> {
  for (const [index, piece] of piecesOf(body).entries()) {
    if (index >= from) await flight.append(index, piece, sha256(piece));
  }
}

const hangs = Symbol('hangs');
const soon = <T>(promise: Promise<T>): Promise<T | typeof hangs> =>
  Promise.race([
    promise,
    new Promise<typeof hangs>((resolve) => setTimeout(() => resolve(hangs), 400)),
  ]);

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);

afterEach(() => {
  process.off('unhandledRejection', note);
  unhandled.length = 0;
});

/** What an interrupted flight leaves in the store: the first `bytes` of `body`. */
async function leave(store: MemoryStore, body: Buffer, bytes: number): Promise<void> {
  const partial = await store.partial(digestOf(body));
  await partial.append(body.subarray(0, bytes));
  await partial.suspend();
}

describe('a flight with a store', () => {
  test('what is broken off and cannot be kept leaves its place free', async () => {
    const body = bytesOf(3 * PIECE_BYTES);
    const store = new MemoryStore();
    const open = store.partial.bind(store);
    let full = true;
    store.partial = async (key, size) => {
      const partial = await open(key, size);
      const suspend = partial.suspend.bind(partial);
      partial.suspend = async () => {
        if (full) throw Object.assign(new Error('no room'), { code: 'EDQUOT' });
        await suspend();
      };
      return partial;
    };
    const flight = await flightOf(body, { store });
    await flight.append(0, piecesOf(body)[0]!);
    await flight.fail(new HerdError('NO_SOURCE', 'cut'));
    full = false;
    const again = await flightOf(body, { store });
    await feed(again, body);
    expect(store.stat(digestOf(body))).toBeDefined();
  });

  test('the last piece waits for the digest, not for the store', async () => {
    const body = bytesOf(2 * PIECE_BYTES + 5);
    const store = new MemoryStore();
    const stored = Promise.withResolvers<void>();
    const open = store.partial.bind(store);
    store.partial = async (key, size) => {
      const partial = await open(key, size);
      const commit = partial.commit.bind(partial);
      partial.commit = async (...object) => {
        await stored.promise;
        await commit(...object);
      };
      return partial;
    };
    const flight = await flightOf(body, { store });
    const fed = feed(flight, body);
    const reader = flight.read(0, true);
    const got: Buffer[] = [];
    while (Buffer.concat(got).length < body.length) {
      while (reader.status === 'waiting') {
        expect(await soon(flight.changed())).not.toBe(hangs);
      }
      got.push((await reader.next()).bytes);
    }
    expect(Buffer.concat(got).equals(body)).toBe(true);
    expect([reader.status, store.objects]).toEqual(['waiting', 0]);
    stored.resolve();
    await fed;
    expect([reader.status, store.objects]).toEqual(['end', 1]);
    reader.close();
  });

  test('a flight that is stopped while its last bytes are written is whole', async () => {
    const body = bytesOf(2 * PIECE_BYTES + 5);
    const store = new MemoryStore();
    const writing = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const open = store.partial.bind(store);
    store.partial = async (key, size) => {
      const partial = await open(key, size);
      const append = partial.append.bind(partial);
      partial.append = async (...chunks) => {
        if (chunks.at(-1)!.length === 5) {
          writing.resolve();
          await gate.promise;
        }
        await append(...chunks);
      };
      return partial;
    };
    const flight = await flightOf(body, { store });
    const fed = feed(flight, body);
    await writing.promise;
    const failed = flight.fail(new HerdError('SHUTTING_DOWN', 'closed'));
    gate.resolve();
    await Promise.all([fed, failed]);
    expect([flight.state, flight.error]).toEqual(['whole', undefined]);
    const stored = await store.open(digestOf(body));
    expect((await stored!.read(0, body.length)).equals(body)).toBe(true);
  });

  /** A store that does `then` in the moments after it has taken an object. */
  function storeWith(then: () => Promise<void>) {
    const store = new MemoryStore();
    const partial = store.partial.bind(store);
    store.partial = async (key, size) => {
      const inner = await partial(key, size);
      const commit = inner.commit.bind(inner);
      inner.commit = async (...object) => {
        await commit(...object);
        void then();
      };
      return inner;
    };
    return store;
  }
  const moments = [0, 1, 2, 3, 4, 5, 6, 7];

  test('what has left the memory can be read at every moment of the commit', async () => {
    const body = bytesOf(9 * PIECE_BYTES);
    const read: Promise<Buffer>[] = [];
    const store = storeWith(async () => {
      for (const _ of moments) {
        read.push(flight.piece(0).then(({ bytes }) => bytes));
        await Promise.resolve();
      }
    });
    const flight = await flightOf(body, { store });
    const reader = flight.read(0, true);
    await feed(flight, body);
    const first = body.subarray(0, PIECE_BYTES);
    expect((await Promise.all(read)).map((bytes) => bytes.equals(first))).toEqual(
      moments.map(() => true),
    );
    reader.close();
  });

  test.each(moments)('a last reader that leaves %i steps after the commit', async (steps) => {
    const body = bytesOf(2 * PIECE_BYTES);
    const store = storeWith(async () => {
      for (let step = 0; step < steps; step++) await Promise.resolve();
      reader.close();
    });
    let open = 0;
    const openObject = store.open.bind(store);
    store.open = async (digest) => {
      const object = await openObject(digest);
      open++;
      const close = object!.close.bind(object);
      return {
        ...object!,
        close: async () => {
          open--;
          await close();
        },
      };
    };
    const flight = await flightOf(body, { store });
    const reader = flight.read(0, true);
    await feed(flight, body);
    await new Promise((resolve) => setImmediate(resolve));
    expect([flight.state, open]).toEqual(['whole', 0]);
  });

  test('readers at different places all get the bytes, and the object is stored', async () => {
    const body = bytesOf(9.5 * PIECE_BYTES);
    const store = new MemoryStore();
    const flight = await flightOf(body, { store });
    const early = readAll(flight, flight.read(0, true));
    const fromThree = readAll(flight, flight.read(3, false));
    await feed(flight, body);
    const late = readAll(flight, flight.read(0, true));
    expect((await early).equals(body)).toBe(true);
    expect((await late).equals(body)).toBe(true);
    expect((await fromThree).equals(body.subarray(3 * PIECE_BYTES))).toBe(true);
    expect(flight.state).toBe('whole');
    expect(store.stat(digestOf(body))?.size).toBe(body.length);
    expect(flight.readers).toBe(0);
  });

  test('the last piece waits for the whole digest for apt, not for a peer', async () => {
    const body = bytesOf(2 * PIECE_BYTES);
    const flight = await flightOf(body);
    const [first, last] = piecesOf(body);
    await flight.append(0, first!);
    expect([flight.available(true), flight.available(false)]).toEqual([1, 1]);
    const wrong = Buffer.from(last!);
    wrong[0]! ^= 1;
    const apt = flight.read(1, true);
    const seen: string[] = [];
    const watch = (async () => {
      while (flight.state === 'running') {
        await flight.changed();
        seen.push(apt.status);
      }
    })();
    await flight.append(1, wrong, sha256(wrong));
    await watch;
    expect(seen).not.toContain('piece');
    expect(flight.error?.code).toBe('CONTENT_MISMATCH');
  });

  test('a piece that is not what its hash says is refused and the right one taken', async () => {
    const body = bytesOf(3 * PIECE_BYTES);
    const flight = await flightOf(body);
    const pieces = piecesOf(body);
    await flight.append(0, pieces[0]!, sha256(pieces[0]!));
    const wrong = flight.append(1, bytesOf(PIECE_BYTES, 9), sha256(pieces[1]!));
    await expect(wrong).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    expect([flight.state, flight.pieces]).toEqual(['running', 1]);
    await feed(flight, body, 1);
    expect(flight.state).toBe('whole');
  });

  test('pieces out of turn or of a wrong length are refused, known ones ignored', async () => {
    const body = bytesOf(2.5 * PIECE_BYTES);
    const flight = await flightOf(body);
    const pieces = piecesOf(body);
    const refused = { code: 'SOURCE_FAILED' };
    await expect(flight.append(1, pieces[1]!)).rejects.toMatchObject(refused);
    await expect(flight.append(0, pieces[2]!)).rejects.toMatchObject(refused);
    await expect(flight.append(0, Buffer.alloc(0))).rejects.toMatchObject(refused);
    await flight.append(0, pieces[0]!);
    await flight.append(0, pieces[1]!);
    expect(flight.pieces).toBe(1);
    await expect(flight.end()).rejects.toMatchObject(refused);
  });

  test('a wrong whole leaves nothing behind; the next flight begins from nothing', async () => {
    const body = bytesOf(2 * PIECE_BYTES);
    const store = new MemoryStore();
    const flight = await flightOf(body, { store });
    await feed(flight, bytesOf(2 * PIECE_BYTES, 7));
    expect(flight.error?.code).toBe('CONTENT_MISMATCH');
    const again = await flightOf(body, { store });
    expect(again.pieces).toBe(0);
    await feed(again, body);
    expect(again.state).toBe('whole');
  });

  test('an interrupted flight is taken up where it ended', async () => {
    const body = bytesOf(4.5 * PIECE_BYTES);
    const store = new MemoryStore();
    const first = await flightOf(body, { store });
    await first.append(0, piecesOf(body)[0]!);
    await first.append(1, piecesOf(body)[1]!);
    await first.fail(new HerdError('NO_SOURCE', 'cut'));
    const second = await flightOf(body, { store });
    expect(second.pieces).toBe(2);
    const got = readAll(second, second.read(0, true));
    await feed(second, body, 2);
    expect((await got).equals(body)).toBe(true);
  });

  test('a partial that cannot be read back is forgotten', async () => {
    const body = bytesOf(3 * PIECE_BYTES);
    const store = new MemoryStore();
    await leave(store, body, 2 * PIECE_BYTES);
    const partial = store.partial.bind(store);
    store.partial = async (key, hint): Promise<PartialObject> => {
      const inner = await partial(key, hint);
      const read = inner.read.bind(inner);
      inner.read = async (offset, length) => {
        if (offset > 0) throw new Error('input/output error');
        return await read(offset, length);
      };
      return inner;
    };
    const flight = await flightOf(body, { store });
    const got = readAll(flight, flight.read(0, true));
    await feed(flight, body);
    expect((await got).equals(body)).toBe(true);
  });

  test.each(['discard', 'reopen'] as const)(
    'a useless partial that the store cannot %s: the bytes stream through',
    async (broken) => {
      const body = bytesOf(3 * PIECE_BYTES);
      const store = new MemoryStore();
      await leave(store, body, 5);
      const partial = store.partial.bind(store);
      let opened = 0;
      const failing = async () => {
        throw new Error('input/output error');
      };
      store.partial = async (key, hint) => {
        if (opened++ > 0 && broken === 'reopen') return await failing();
        const inner = await partial(key, hint);
        if (broken === 'discard') inner.discard = failing;
        return inner;
      };
      const flight = await flightOf(body, { store });
      const got = readAll(flight, flight.read(0, true));
      await feed(flight, body);
      expect((await got).equals(body)).toBe(true);
    },
  );

  test('a flight that ends before its partial is open leaves it for another try', async () => {
    const body = bytesOf(3 * PIECE_BYTES);
    const store = new MemoryStore();
    await leave(store, body, 2 * PIECE_BYTES);
    const partial = store.partial.bind(store);
    const gate = Promise.withResolvers<void>();
    store.partial = async (key, hint) => {
      await gate.promise;
      return await partial(key, hint);
    };
    const { flight, opened } = opening(body, store);
    const failed = flight.fail(new HerdError('SHUTTING_DOWN', 'closed'));
    gate.resolve();
    await Promise.all([opened, failed]);
    expect((await flightOf(body, { store })).pieces).toBe(2);
  });

  test('a flight that ends while it reads a partial back leaves it for another try', async () => {
    const body = bytesOf(4 * PIECE_BYTES);
    const store = new MemoryStore();
    await leave(store, body, 3 * PIECE_BYTES);
    const partial = store.partial.bind(store);
    const gate = Promise.withResolvers<void>();
    const reading = Promise.withResolvers<void>();
    store.partial = async (key, hint) => {
      const inner = await partial(key, hint);
      const read = inner.read.bind(inner);
      inner.read = async (offset, length) => {
        reading.resolve();
        await gate.promise;
        return await read(offset, length);
      };
      return inner;
    };
    const warned: unknown[] = [];
    const log = { ...silentLog, warn: (...args: unknown[]) => void warned.push(args) };
    const { flight, opened } = opening(body, store, log);
    await reading.promise;
    const failed = flight.fail(new HerdError('SHUTTING_DOWN', 'closed'));
    gate.resolve();
    await Promise.all([opened, failed]);
    expect(warned).toEqual([]);
    expect((await flightOf(body, { store })).pieces).toBe(3);
  });

  test('a size that nobody knows beforehand', async () => {
    const body = bytesOf(1.25 * PIECE_BYTES);
    const flight = await flightOf(body, { size: undefined });
    const got = readAll(flight, flight.read(0, true));
    await feed(flight, body);
    expect(flight.state).toBe('running');
    await flight.end();
    expect((await got).equals(body)).toBe(true);
    expect(flight.meta.size).toBe(body.length);
  });

  test.each([0, undefined])('an empty object, announced as %s bytes', async (size) => {
    const store = new MemoryStore();
    const flight = await flightOf(Buffer.alloc(0), { store, size });
    const got = readAll(flight, flight.read(0, true));
    await flight.end();
    expect((await got).length).toBe(0);
    expect(store.stat(digestOf(Buffer.alloc(0)))?.size).toBe(0);
  });

  test('another size than the expected one is a mismatch', async () => {
    const flight = await flightOf(bytesOf(PIECE_BYTES));
    expect(() => flight.describe({ size: 5 })).toThrow(/5 bytes offered/);
  });

  test('readers in wait are told of the end', async () => {
    const flight = await flightOf(bytesOf(2 * PIECE_BYTES));
    const got = readAll(flight, flight.read(0, true));
    await flight.fail(new HerdError('NO_SOURCE', 'nobody has it'));
    await expect(got).rejects.toMatchObject({ code: 'NO_SOURCE' });
    expect(flight.readers).toBe(0);
  });

  test('a store that cannot open what it just took harms nobody', async () => {
    process.on('unhandledRejection', note);
    const body = bytesOf(2 * PIECE_BYTES);
    const store = new MemoryStore();
    store.open = async () => {
      throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    };
    const flight = await flightOf(body, { store });
    const reader = flight.read(0, true);
    await feed(flight, body);
    await new Promise((resolve) => setImmediate(resolve));
    reader.close();
    expect(flight.state).toBe('whole');
    expect(unhandled).toEqual([]);
  });
});

describe('the memory of the pieces', () => {
  const body = bytesOf(3 * PIECE_BYTES);

  /** The pieces of `body` in slots of a pool; `used` tells how many of them are not free. */
  function pooled() {
    const pool = new PiecePool();
    const slots = piecesOf(body).map((piece) => {
      const slot = pool.take();
      slot.set(piece);
      return slot;
    });
    return { pool, slots, used: () => slots.filter((slot) => pool.owns(slot)).length };
  }

  test('is free when nobody comes any more and all that is lent is released', async () => {
    const { pool, slots, used } = pooled();
    const flight = await flightOf(body, { pool });
    const reader = flight.read(0, true);
    for (const [index, slot] of slots.entries()) await flight.append(index, slot);
    (await reader.next()).release();
    const last = await reader.next();
    flight.retire();
    expect(used()).toBe(3);
    reader.close();
    expect(used()).toBe(1);
    last.release();
    expect(used()).toBe(0);
    const late = flight.read(0, true);
    expect((await readAll(flight, late)).equals(body)).toBe(true);
  });

  test('is kept for those who wait for their turn to read', async () => {
    const { pool, slots, used } = pooled();
    const flight = await flightOf(body, { pool });
    for (const [index, slot] of slots.entries()) await flight.append(index, slot);
    await readAll(flight, flight.read(0, true));
    expect(used()).toBe(3);
  });

  test('is not free before it is written', async () => {
    const { pool, slots, used } = pooled();
    const store = new MemoryStore();
    const partial = store.partial.bind(store);
    const gate = Promise.withResolvers<void>();
    store.partial = async (key, size) => {
      const inner = await partial(key, size);
      const append = inner.append.bind(inner);
      inner.append = async (...chunks) => {
        await gate.promise;
        await append(...chunks);
      };
      return inner;
    };
    const flight = await flightOf(body, { pool, store });
    const fed = (async () => {
      for (const [index, slot] of slots.entries()) await flight.append(index, slot);
    })();
    while (!flight.verified) await flight.changed();
    flight.retire();
    expect(used()).toBe(3);
    gate.resolve();
    await fed;
    expect(used()).toBe(0);
    const stored = await store.open(digestOf(body));
    expect((await stored!.read(0, body.length)).equals(body)).toBe(true);
  });

  test('is free when the flight failed and its last reader left', async () => {
    const { pool, slots, used } = pooled();
    const flight = await flightOf(body, { pool });
    const reader = flight.read(0, false);
    for (const [index, slot] of slots.slice(0, 2).entries()) await flight.append(index, slot);
    await flight.fail(new HerdError('NO_SOURCE', 'cut'));
    (await reader.next()).release();
    expect(used()).toBe(3);
    reader.close();
    expect(used()).toBe(1);
  });
});

describe('a flight without room on the disk', () => {
  const body = bytesOf(200 * PIECE_BYTES);

  /** Feeds in the background; `max` is the largest number of pieces that were held at once. */
  function feeding(flight: Flight, slowest: () => number) {
    const state = { max: 0, done: Promise.resolve() };
    state.done = (async () => {
      for (const [index, piece] of piecesOf(body).entries()) {
        await flight.append(index, piece);
        state.max = Math.max(state.max, flight.pieces - slowest());
      }
    })();
    return state;
  }

  test.each([0, 10 * PIECE_BYTES])(
    'streams through to slow and fast readers, full from byte %i on',
    async (limit) => {
      const flight = await flightOf(body, { store: fullStore(limit) });
      const fast = readAll(flight, flight.read(0, true));
      const slow = flight.read(0, true);
      const fed = feeding(flight, () => Math.max(slow.index, limit / PIECE_BYTES));
      const parts: Buffer[] = [];
      while (slow.status !== 'end') {
        while (slow.status === 'waiting') await flight.changed();
        if (slow.status === 'piece') parts.push((await slow.next()).bytes);
        await new Promise((resolve) => setImmediate(resolve));
      }
      slow.close();
      expect(await soon(fed.done)).not.toBe(hangs);
      expect((await fast).equals(body)).toBe(true);
      expect(Buffer.concat(parts).equals(body)).toBe(true);
      expect(fed.max).toBeLessThanOrEqual(64);
    },
  );

  test('waits for its only reader, who stands still, and goes on when it leaves', async () => {
    const flight = await flightOf(body, { store: fullStore() });
    const reader = flight.read(0, true);
    const fed = feeding(flight, () => reader.index);
    expect(await soon(fed.done)).toBe(hangs);
    expect(flight.pieces).toBe(64);
    reader.close();
    expect(await soon(fed.done)).not.toBe(hangs);
    expect(flight.state).toBe('whole');
  });

  test('goes on when its only reader does', async () => {
    const flight = await flightOf(body, { store: fullStore() });
    const reader = flight.read(0, true);
    const fed = feeding(flight, () => reader.index);
    expect(await soon(fed.done)).toBe(hangs);
    const got = readAll(flight, reader);
    expect(await soon(fed.done)).not.toBe(hangs);
    expect((await got).equals(body)).toBe(true);
  });

  test('one reader that stands still does not hold up the others for ever', async () => {
    const clock = new ManualClock();
    const flight = await flightOf(body, { store: fullStore(), clock });
    const still = flight.read(0, true);
    const got = readAll(flight, flight.read(0, true));
    const fed = feeding(flight, () => 0);
    expect(await soon(fed.done)).toBe(hangs);
    clock.advance(5_000);
    expect(await soon(fed.done)).not.toBe(hangs);
    expect((await got).equals(body)).toBe(true);
    expect(flight.holds(still.index)).toBe(false);
    await expect(still.next()).rejects.toMatchObject({ code: 'SOURCE_FAILED' });
    still.close();
  });

  test('says what it has no more', async () => {
    const flight = await flightOf(body, { store: fullStore() });
    const reader = flight.read(0, true);
    const got = readAll(flight, reader);
    await feed(flight, body);
    await got;
    expect([flight.holds(0), flight.holds(199)]).toEqual([false, true]);
  });
});
