// What a client of one node gets when the world is not as it was.
import { describe, expect, test, vi } from 'vitest';
import type { Content } from '../../node/delivery/delivery.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { hashesOf } from '../contract/store.contract.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { herdFixture, objectOf } from '../fixtures/herd.ts';

test('a name whose bytes nobody kept, replaced upstream meanwhile: the new bytes', async () => {
  let body = Buffer.from('first');
  const upstream = new FakeUpstream(() => ({ body, size: body.length, etag: `"${body}"` }));
  const { get, nodes } = herdFixture({ nodes: 1, objects: [], upstream });
  const url = 'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease';
  expect(`${await get(0, url)}`).toBe('first');
  for (const { digest } of nodes[0]!.store.list()) await nodes[0]!.store.delete(digest);
  body = Buffer.from('other');
  expect(`${await get(0, url)}`).toBe('other');
  expect(upstream.open).toBe(0);
});

describe('a name that another member owns', () => {
  const url = 'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease';

  /** What a member asks of the owner, and gets from it, before and after a `change` upstream. */
  async function asked(size: number, change = (body: Buffer) => body) {
    let { body } = objectOf('InRelease', size);
    const upstream = new FakeUpstream(() => ({ body, size, etag: `"${body[0]}"` }));
    const { nodes } = herdFixture({ nodes: 2, objects: [], upstream });
    const [first] = nodes[0]!.fleet.rank(url, { unbiased: true, limit: 1 });
    const [owner, member] = first!.id === nodes[0]!.self.id ? nodes : nodes.toReversed();
    let requests = 0;
    owner!.door.before = async () => void requests++;
    const { signal } = new AbortController();
    const ask = async () => {
      const before = { requests, sent: owner!.counters.get('sent.bytes.peer') };
      const content = await member!.delivery.get({ url, noCache: true, signal });
      const parts: Buffer[] = [];
      for await (const part of content.read(0, size, signal)) parts.push(Buffer.from(part));
      content.close();
      expect(Buffer.concat(parts).equals(body)).toBe(true);
      const sent = owner!.counters.get('sent.bytes.peer') - before.sent;
      return { requests: requests - before.requests, sent };
    };
    const before = await ask();
    body = change(body);
    return [before, await ask()];
  }

  test('small, it comes with the answer: one round trip, and the bytes only if new', async () => {
    const size = 200_000;
    const once = { requests: 1, sent: size };
    const change = (body: Buffer) => Buffer.from(body).fill(0x41, 0, 9);
    expect(await asked(size, change)).toEqual([once, once]);
    expect(await asked(size)).toEqual([once, { requests: 1, sent: 0 }]);
  });

  test('large, it is asked for once it is known', async () => {
    const size = 5 * PIECE_BYTES;
    expect(await asked(size)).toEqual([
      { requests: 2, sent: size },
      { requests: 1, sent: 0 },
    ]);
  });
});

test.each([
  ['listed', [objectOf('h/head.deb', 3 * PIECE_BYTES)]],
  ['not listed', []],
])('a HEAD of what is %s: no byte of it is fetched on and on', async (_what, objects) => {
  const { body, url, digest } = objectOf('h/head.deb', 3 * PIECE_BYTES);
  const stuck = Promise.withResolvers<void>();
  const pace = async (at: number) => (at < PIECE_BYTES ? undefined : stuck.promise);
  const upstream = new FakeUpstream(() => ({ body, size: body.length, pace }));
  const { nodes } = herdFixture({ nodes: 1, objects, upstream });
  const { delivery, flights } = nodes[0]!;
  const { signal } = new AbortController();
  const content = await delivery.get({ url, noCache: false, head: true, signal });
  content.close();
  const listed = objects.length > 0;
  expect(content).toMatchObject({ size: body.length, ...(listed ? { digest } : {}) });
  expect(upstream.requests.length).toBe(listed ? 0 : 1);
  await vi.waitFor(() => expect(flights.active).toBe(0), 3_000);
  expect([upstream.open, upstream.bytes < body.length]).toEqual([0, true]);
});

describe('what lies in memory', () => {
  const object = objectOf('h/hot.deb', 1000);
  const { signal } = new AbortController();
  const request = { url: object.url, noCache: false, signal };
  const upstream = new FakeUpstream(() => ({ body: object.body, size: 1000 }));

  test('is at hand, whole or in part, and counted as given', async () => {
    const { get, nodes } = herdFixture({ nodes: 1, objects: [object], upstream });
    const { delivery, counters } = nodes[0]!;
    expect(delivery.atHand(request)).toBeUndefined();
    await get(0, object.url);
    const content = delivery.atHand(request)!;
    expect(content).toMatchObject({ digest: object.digest, size: 1000, mustRestart: false });
    const before = counters.get('apt.bytes.local');
    expect(content.whole?.().equals(object.body)).toBe(true);
    const parts: Buffer[] = [];
    for await (const part of content.read(10, 20, signal)) parts.push(part);
    expect(Buffer.concat(parts).equals(object.body.subarray(10, 20))).toBe(true);
    expect(counters.get('apt.bytes.local') - before).toBe(1010);
    content.close();
  });

  test('and came for other members is noted when apt asks for it, too', async () => {
    const { nodes } = herdFixture({ nodes: 1, objects: [object], upstream });
    const { delivery, store, noted } = nodes[0]!;
    const partial = await store.partial(object.digest);
    await partial.append(object.body);
    await partial.commit({ digest: object.digest, size: 1000 }, hashesOf(object.body));
    expect(delivery.atHand(request)).toBeDefined();
    expect(noted).toEqual([object.url]);
  });

  test('is not what a client with credentials asks for', async () => {
    const { get, nodes } = herdFixture({ nodes: 1, objects: [object], upstream });
    await get(0, object.url);
    const withCredentials = { ...request, authorization: 'Basic eDp5' };
    expect(nodes[0]!.delivery.atHand(withCredentials)).toBeUndefined();
  });
});

describe('whether bytes are waited for', () => {
  const object = objectOf('w/waited.deb', 1.5 * PIECE_BYTES);
  const { signal } = new AbortController();
  const request = { url: object.url, noCache: false, signal };

  async function beginning(pace: (at: number) => Promise<unknown>) {
    const upstream = new FakeUpstream(() => ({
      body: object.body,
      size: object.body.length,
      pace,
    }));
    const { nodes } = herdFixture({ nodes: 1, objects: [object], upstream });
    const content = await nodes[0]!.delivery.get(request);
    let arrived = false;
    const told = content.arrived?.then(() => {
      arrived = true;
    });
    return { content, told, arrived: () => arrived, ...nodes[0]! };
  }

  test('they are until the last one is here, and never again', async () => {
    const gate = Promise.withResolvers<void>();
    const last = object.body.length - 50_000;
    const { content, told, arrived, delivery } = await beginning(async (at) => {
      if (at >= last) await gate.promise;
    });
    for (let i = 0; i < 50; i++) await new Promise(setImmediate);
    expect(arrived()).toBe(false);
    gate.resolve();
    await told;
    content.close();
    const stored = await delivery.get(request);
    await stored.arrived;
    stored.close();
  });

  test('they are not any more when none will come', async () => {
    const { content, told, arrived } = await beginning(async (at) => {
      if (at > PIECE_BYTES) throw new Error('upstream went away');
    });
    await told;
    expect(arrived()).toBe(true);
    content.close();
  });
});

describe('a client that holds wrong bytes', () => {
  const object = objectOf('t/tainted.deb', 2.5 * PIECE_BYTES);

  /** As the apt door reads: it leaves with the last byte and asks for no more. */
  async function take(content: Content): Promise<void> {
    let left = content.size!;
    for await (const chunk of content.read(0, left, new AbortController().signal)) {
      left -= chunk.length;
      if (left === 0) break;
    }
    content.close();
  }

  /** A node whose clients have got two pieces of an object that turned out wrong. */
  async function tainted() {
    let body: Buffer = Buffer.alloc(object.body.length);
    const upstream = new FakeUpstream(() => ({ body, size: body.length }));
    const { nodes } = herdFixture({ nodes: 1, objects: [object], upstream });
    const { delivery, store } = nodes[0]!;
    const { signal } = new AbortController();
    const get = () => delivery.get({ url: object.url, noCache: false, signal });
    await expect(take(await get())).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    body = object.body;
    return { get, store };
  }

  async function restartsOnce(get: Awaited<ReturnType<typeof tainted>>['get']): Promise<void> {
    const content = await get();
    expect(content.mustRestart).toBe(true);
    await take(content);
    const again = await get();
    expect(again.mustRestart).toBe(false);
    again.close();
  }

  test('starts over until it has the right ones, given as they come in', async () => {
    const { get } = await tainted();
    await restartsOnce(get);
  });

  test('starts over until it has the right ones, given from the store', async () => {
    const { get, store } = await tainted();
    const unread = await get();
    if (store.objects === 0) await new Promise<void>((stored) => store.on('added', () => stored()));
    unread.close();
    await restartsOnce(get);
  });
});
