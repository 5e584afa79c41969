// Peers over HTTP: a real door and real connections on loopback, and peers that misbehave.

import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { digestOf, sha256 } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { createPeerDoor, type Serving } from '../../node/doors/peer/peer-door.ts';
import { HerdError } from '../../node/errors.ts';
import { KiB, MiB, PIECE_BYTES } from '../../node/limits.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { type Clock, systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import type { WantVerdict } from '../../node/serving/wants.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { HttpPeers } from '../../node/transfer/peer/http-peers.ts';
import type { NameAnswer, PieceStream, Want } from '../../node/transfer/peers.ts';
import { encode, PIECES_TYPE } from '../../node/wire/frames.ts';
import { pskCredentials } from '../../node/wire/tls-psk.ts';
import { hashesOf } from '../contract/store.contract.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';
import { waysFixture } from '../fixtures/ways.ts';

const credentials = pskCredentials(Buffer.alloc(32, 7));
const body = Buffer.alloc(160 * PIECE_BYTES + 5, 'debherd');
const digest = digestOf(body);
const tail = Buffer.from('t');
const ends: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const controller = () => new AbortController();
const signal = () => controller().signal;
const failed = { code: 'SOURCE_FAILED' };
const stalled = { code: 'SOURCE_STALLED' };

function client(
  options: ConstructorParameters<typeof HttpPeers>[1] = {},
  clock: Clock = systemClock,
) {
  const peers = new HttpPeers({ pool: new PiecePool(), clock, credentials }, options);
  ends.push(() => peers.close());
  return peers;
}

const want: Want = {
  digest,
  url: 'http://archive.ubuntu.com/ubuntu/pool/a.deb',
  have: 0,
  member: memberFixture(1),
  view: 1,
  exclude: [],
  failed: [],
  unable: [],
};

const resolution = { status: 200, digest, size: body.length, checkedAtMs: 1 };
const resolved: NameAnswer = { kind: 'resolved', resolution, ageMs: 5, stale: false };

/** The real door before an owner that has `body`. */
async function door(verdict?: (want: Want) => Promise<WantVerdict>, protocol = 1) {
  const store = new MemoryStore();
  const partial = await store.partial(digest);
  await partial.append(body);
  await partial.commit({ digest, size: body.length }, hashesOf(body));
  const counters = new Counters();
  let closed = 0;
  const supplies = {
    async object(which: string) {
      const object = which === digest ? await store.open(digest) : undefined;
      if (!object) return undefined;
      const close = object.close.bind(object);
      object.close = async () => {
        closed++;
        await close();
      };
      return { kind: 'stored', object };
    },
    enclosure: async (answer: NameAnswer, has: readonly string[]) =>
      answer.kind === 'resolved' && !has.includes(digest) ? supplies.object(digest) : undefined,
  };
  const wants = { want: verdict, progress: () => ({ move: 'slow' }) };
  const names = {
    answer: async (url: string) => (url === want.url ? resolved : { kind: 'pending' }),
  } as never;
  const server = createPeerDoor(
    {
      pool: new PiecePool(),
      serving: { wants, supplies, names } as unknown as Serving,
      ways: waysFixture(),
      links: { best: 6e6 },
      members: () => [memberFixture(3)],
      counters,
      clock: systemClock,
      log: silentLog,
    },
    { credentials, protocol },
  );
  await server.listen({ host: '127.0.0.1', port: 0 });
  ends.push(() => server.close());
  const { port } = server.server.address() as AddressInfo;
  return { peer: { address: '127.0.0.1', port }, counters, closed: () => closed, server, store };
}

/** A peer that answers as it likes. */
async function rogue(handle: Parameters<typeof createServer>[1]) {
  const server: Server = createServer(credentials.server(), handle);
  let connections = 0;
  server.on('connection', () => connections++);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { address: '127.0.0.1', port, connections: () => connections };
}

async function drain(stream: PieceStream): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let frame = await stream.next(); frame; frame = await stream.next()) {
    if (frame.type !== 'piece') continue;
    expect(sha256(frame.bytes).equals(frame.hash)).toBe(true);
    parts.push(Buffer.from(frame.bytes));
  }
  return Buffer.concat(parts);
}

async function until(condition: () => boolean) {
  while (!condition()) await sleep(5);
}

describe('a connection at hand', () => {
  test('stays while it is kept, and is used', async () => {
    const { peer, server } = await door();
    let accepted = 0;
    server.server.on('secureConnection', () => accepted++);
    const clock = new ManualClock();
    const peers = client({}, clock);
    peers.keep([peer]);
    expect(peers.connected(peer)).toBe(false);
    await peers.greet(peer);
    clock.advance(3_600_000);
    await sleep(20);
    expect(peers.connected(peer)).toBe(true);
    expect(await peers.members(peer, { signal: signal() })).toHaveLength(1);
    expect(await peers.hello(peer, { signal: signal() })).toEqual({ link: 6e6 });
    expect(accepted).toBe(1);
    peers.keep([]);
    clock.advance(29_000);
    expect(peers.connected(peer)).toBe(true);
    clock.advance(2_000);
    expect(peers.connected(peer)).toBe(false);
  });

  test('is none where nobody answers, and nothing fails', async () => {
    const peers = client();
    const nobody = { address: '127.0.0.1', port: 9 };
    await peers.greet(nobody);
    expect(peers.connected(nobody)).toBe(false);
  });
});

describe('old and new together', () => {
  test.each([
    [1, 1],
    [1, 2],
    [2, 1],
    [2, 2],
    [2, 3],
    [3, 2],
    [3, 3],
  ])('a member of protocol %d gets what it asks of one of protocol %d', async (own, theirs) => {
    const { peer } = await door(undefined, theirs);
    const ask = client({ protocol: own }).members({ ...peer, protocol: theirs }, controller());
    expect(await ask).toEqual([memberFixture(3)]);
  });

  test.each([
    [1, 3],
    [3, 1],
  ])('a member of protocol %d does not even ask one of protocol %d', async (own, theirs) => {
    const { peer, counters } = await door(undefined, theirs);
    const other = { ...peer, name: 'host2', protocol: theirs };
    const ask = client({ protocol: own }).members(other, controller());
    const message = `host2 speaks protocol ${theirs}, this node ${own}`;
    await expect(ask).rejects.toMatchObject({ ...failed, message });
    expect(counters.get('peer.requests')).toBe(0);
  });

  test('one that is in no list is asked with the number of the version before', async () => {
    const asked = client({ protocol: 2 });
    for (const theirs of [1, 2]) {
      const { peer } = await door(undefined, theirs);
      expect(await asked.members(peer, controller())).toEqual([memberFixture(3)]);
    }
    const { peer } = await door(undefined, 3);
    const message = /protocol 1: this member speaks 3 and 2/;
    await expect(asked.members(peer, controller())).rejects.toThrow(message);
  });
});

describe('pieces', () => {
  test('from one to another, the whole and a part', async () => {
    const { peer, closed, counters } = await door();
    const peers = client();
    expect(
      (await drain((await peers.object(peer, digest, { from: 0 }, { signal: signal() }))!)).equals(
        body,
      ),
    ).toBe(true);
    const part = await drain(
      (await peers.object(peer, digest, { from: 3, to: 5 }, { signal: signal() }))!,
    );
    expect(part.equals(body.subarray(3 * PIECE_BYTES, 5 * PIECE_BYTES))).toBe(true);
    expect(
      await peers.object(peer, digestOf('no'), { from: 0 }, { signal: signal() }),
    ).toBeUndefined();
    expect(await peers.object(peer, 'rubbish', { from: 0 }, { signal: signal() })).toBeUndefined();
    await until(() => closed() === 2);
    expect(counters.get('peer.requests')).toBe(4);
  });

  test('a slow consumer holds the sender up', async () => {
    const { peer, counters, closed } = await door();
    const stream = (await client({ tickMs: 30, silenceTicks: 3 }).object(
      peer,
      digest,
      { from: 0 },
      { signal: signal() },
    ))!;
    await sleep(400);
    const sent = counters.get('sent.bytes.peer');
    expect(sent).toBeLessThan(body.length);
    expect((await drain(stream)).equals(body)).toBe(true);
    await until(() => closed() === 1);
  });

  test('cancelled or aborted: pending reads throw, the sender lets go', async () => {
    const { peer, closed } = await door();
    const peers = client();
    const controller = new AbortController();
    const one = (await peers.object(peer, digest, { from: 0 }, { signal: signal() }))!;
    const two = (await peers.object(peer, digest, { from: 0 }, controller))!;
    one.cancel();
    controller.abort();
    await expect(drain(one)).rejects.toMatchObject(failed);
    await expect(drain(two)).rejects.toMatchObject(failed);
    await until(() => closed() === 2);
  });

  test('whoever has all it wants uses the connection again, and cuts off who goes on', async () => {
    const sockets = new Set<unknown>();
    const last = () => Buffer.concat([encode.pieceHead(0, sha256(tail), tail.length), tail]);
    let cut = false;
    const peer = await rogue((request, response) => {
      sockets.add(request.socket);
      response.writeHead(200, { 'content-type': PIECES_TYPE });
      response.write(last());
      if (request.url?.includes('from=7')) {
        response.on('close', () => (cut = true));
        response.write(Buffer.alloc(4096));
      } else setTimeout(() => response.end(encode.end(1)), 50);
    });
    const peers = client();
    for (const from of [1, 2, 3, 7]) {
      const stream = (await peers.object(peer, digest, { from }, { signal: signal() }))!;
      expect(await stream.next()).toMatchObject({ type: 'piece' });
      stream.done();
      await sleep(100);
    }
    expect(sockets.size).toBe(1);
    await until(() => cut);
  });

  test('a peer that left while its answer was being found: its place is free again', async () => {
    let complete: boolean | undefined;
    let answer = (_: WantVerdict) => {};
    let asked = false;
    const { peer, store } = await door(() => {
      asked = true;
      return new Promise((resolve) => (answer = resolve));
    });
    const controller = new AbortController();
    const pending = client().want(peer, want, controller);
    pending.catch(() => {});
    await until(() => asked);
    controller.abort();
    await expect(pending).rejects.toMatchObject(failed);
    await sleep(50);
    const object = (await store.open(digest))!;
    answer({
      kind: 'supply',
      supply: { kind: 'stored', object },
      served: (whole) => (complete = whole),
    });
    await until(() => complete !== undefined);
    expect(complete).toBe(false);
  });
});

describe('a peer that misbehaves', () => {
  const head = (res: ServerResponse) => res.writeHead(200, { 'content-type': PIECES_TYPE });

  test('silent before its answer, or in the middle of it: an error in time', async () => {
    const peers = client({ tickMs: 60, answerTicks: 5, silenceTicks: 5 });
    const mute = await rogue(() => {});
    await expect(peers.want(mute, want, { signal: signal() })).rejects.toMatchObject(stalled);
    const stuck = await rogue((_req, res) => {
      head(res);
      res.write(encode.meta({ size: 5 }));
    });
    const stream = (await peers.object(stuck, digest, { from: 0 }, { signal: signal() }))!;
    expect(await stream.next()).toMatchObject({ type: 'meta' });
    await expect(stream.next()).rejects.toMatchObject(stalled);
  });

  test('silent before its answer: its machine is asked, and it may still come', async () => {
    let answer = () => {};
    const mute = await rogue((_req, res) => {
      answer = () => res.end('[]');
    });
    const asked = client({ tickMs: 30, answerProbeTicks: 1, answerTicks: 60 }).members(mute, {
      signal: signal(),
    });
    await sleep(300);
    expect(mute.connections()).toBe(2);
    answer();
    expect(await asked).toEqual([]);
  });

  test('silent in mid-stream: its machine is asked once, and more may come', async () => {
    let more = () => {};
    const mute = await rogue((_req, res) => {
      head(res);
      res.write(encode.meta({ size: 5 }));
      more = () => res.end(encode.end(0));
    });
    const peers = client({ tickMs: 30, silenceProbeTicks: 1, silenceTicks: 60 });
    const stream = (await peers.object(mute, digest, { from: 0 }, { signal: signal() }))!;
    expect(await stream.next()).toMatchObject({ type: 'meta' });
    await sleep(300);
    expect(mute.connections()).toBe(2);
    more();
    expect(await stream.next()).toMatchObject({ type: 'end' });
  });

  test.each([
    ['cut in a frame', (res: ServerResponse) => res.end(encode.meta({}).subarray(0, 5))],
    [
      'cut by a reset',
      (res: ServerResponse) => {
        res.write(encode.meta({}).subarray(0, 5));
        setTimeout(() => res.socket?.destroy(), 20);
      },
    ],
    ['rubbish', (res: ServerResponse) => res.end(Buffer.alloc(50, 9))],
  ])('%s: SOURCE_FAILED', async (_what, send) => {
    const peer = await rogue((_req, res) => {
      head(res);
      send(res);
    });
    const stream = (await client().object(peer, digest, { from: 0 }, { signal: signal() }))!;
    await expect(drain(stream)).rejects.toMatchObject(failed);
  });

  test.each([
    ['nothing', 200, ''],
    ['no JSON', 200, '<html>'],
    ['null', 200, 'null'],
    ['404', 404, '{}'],
    ['an error', 500, '{"message":"boom"}'],
    [
      'of wrong fields',
      200,
      '{"elsewhere":{"port":70000},"move":true,"kind":"resolved","link":"wide"}',
    ],
    ['of members that are none', 200, '[{"id":"x","upstream":true}]'],
  ])('an answer that is %s: SOURCE_FAILED, for every question', async (_what, status, text) => {
    const peer = await rogue((_req, res) => res.writeHead(status).end(text));
    const peers = client();
    const query = { url: want.url, noCache: false, view: 1 };
    await expect(peers.want(peer, want, { signal: signal() })).rejects.toMatchObject(failed);
    await expect(peers.name(peer, query, { signal: signal() })).rejects.toMatchObject(failed);
    await expect(peers.members(peer, { signal: signal() })).rejects.toMatchObject(failed);
    const progress = { digest, member: want.member.id, have: 1, source: '' };
    await expect(peers.progress(peer, progress, { signal: signal() })).rejects.toMatchObject(
      failed,
    );
    await expect(peers.hello(peer, { signal: signal() })).rejects.toMatchObject(failed);
  });

  test('an answer without end is cut off, a long one is read', async () => {
    const members = Array.from({ length: 2_000 }, (_, n) => memberFixture(n));
    let sent = 0;
    function* spaces() {
      for (; sent < 64 * MiB; sent += 64 * KiB) yield Buffer.alloc(64 * KiB, ' ');
      yield '{}';
    }
    const peer = await rogue((request, res) => {
      if (request.url === '/v1/members') res.end(JSON.stringify(members));
      else pipeline(Readable.from(spaces()), res, () => {});
    });
    const peers = client();
    expect(await peers.members(peer, { signal: signal() })).toEqual(members);
    const claim = { member: want.member, objects: [], names: [] };
    await expect(peers.claim(peer, claim, { signal: signal() })).rejects.toThrow('without end');
    expect(sent).toBeLessThan(32 * MiB);
  });

  test('a piece that takes its time is no silence', async () => {
    const piece = Buffer.concat([encode.pieceHead(0, sha256(tail), 1), tail]);
    const peer = await rogue(async (_request, res) => {
      head(res);
      for (const byte of piece) {
        res.write(Buffer.of(byte));
        await sleep(5);
      }
      res.end();
    });
    const peers = client({ tickMs: 20, silenceTicks: 3 });
    const stream = (await peers.object(peer, digest, { from: 0 }, { signal: signal() }))!;
    expect((await drain(stream)).equals(tail)).toBe(true);
  });

  test('another protocol: both sides say which', async () => {
    const { server } = await door();
    const answer = await server.inject({
      url: '/v1/members',
      headers: { 'debherd-protocol': '9' },
    });
    expect([answer.statusCode, answer.json().message]).toEqual([400, expect.stringContaining('9')]);
    const peer = await rogue((_req, res) =>
      res.writeHead(400).end(JSON.stringify(new HerdError('BAD_REQUEST', 'speaks 2').toJSON())),
    );
    await expect(client().members(peer, { signal: signal() })).rejects.toThrow('speaks 2');
  });

  test('a connection that the peer closed meanwhile: asked again on a fresh one', async () => {
    const dead = new Set<unknown>();
    const peer = await rogue((req, res) => {
      if (dead.has(req.socket)) return req.socket.destroy();
      dead.add(req.socket);
      // Both at once, on a connection each.
      if (dead.size === 1) release = () => res.end('[]');
      else {
        release();
        res.end('[]');
      }
    });
    let release = () => {};
    const peers = client();
    const ask = () => peers.members(peer, { signal: signal() });
    expect(await Promise.all([ask(), ask()])).toEqual([[], []]);
    release = () => {};
    expect(await ask()).toEqual([]);
    expect(dead.size).toBe(3);
  });

  test('an address that is none: given up afterwards, nothing happens', async () => {
    const controller = new AbortController();
    const nowhere = { address: '127.0.0.1', port: 70_000 };
    await expect(client().members(nowhere, controller)).rejects.toMatchObject(failed);
    controller.abort();
  });

  test('a wrong key, or nobody there', async () => {
    const { peer } = await door();
    const stranger = new HttpPeers({
      pool: new PiecePool(),
      clock: systemClock,
      credentials: pskCredentials(Buffer.alloc(32, 8)),
    });
    ends.push(() => stranger.close());
    await expect(stranger.members(peer, { signal: signal() })).rejects.toMatchObject(failed);
    const nobody = { address: '127.0.0.1', port: 1 };
    await expect(client().members(nobody, { signal: signal() })).rejects.toMatchObject(failed);
  });
});

describe('an answer for a name', () => {
  const query = { url: want.url, noCache: false, view: 1 };

  test('comes with the object, unless the asker has it or does not say', async () => {
    const { peer, counters } = await door();
    const peers = client();
    const answer = await peers.name(peer, { ...query, has: [] }, { signal: signal() });
    expect(answer).toMatchObject(resolved);
    const { stream } = answer as { stream: PieceStream };
    expect((await drain(stream)).equals(body)).toBe(true);
    expect(await peers.name(peer, { ...query, has: [digest] }, { signal: signal() })).toEqual(
      resolved,
    );
    expect(await peers.name(peer, query, { signal: signal() })).toEqual(resolved);
    expect(counters.get('peer.requests')).toBe(3);
  });

  test.each([
    ['pieces alone', [encode.meta({ size: 5 })]],
    ['an answer that names no object', [encode.name({ kind: 'pending' })]],
    ['nothing', []],
  ])('that is a stream of %s: SOURCE_FAILED, and cut off', async (_what, frames) => {
    const closed = Promise.withResolvers<void>();
    const peer = await rogue((_req, res) => {
      res.writeHead(200, { 'content-type': PIECES_TYPE });
      if (frames.length === 0) return res.end(closed.resolve);
      res.write(Buffer.concat(frames));
      // It is not silence that ends it.
      const more = setInterval(() => res.write(encode.wait(0)), 20);
      res.on('close', () => {
        clearInterval(more);
        closed.resolve();
      });
      return undefined;
    });
    await expect(
      client().name(peer, { ...query, has: [] }, { signal: signal() }),
    ).rejects.toMatchObject(failed);
    await closed.promise;
  });
});

test('a want that is none is refused', async () => {
  const { server } = await door();
  for (const payload of [
    {},
    { ...want, size: -1 },
    { ...want, url: 'file:///etc' },
    { ...want, have: 0.5 },
  ]) {
    const headers = { 'debherd-protocol': '1' };
    const answer = await server.inject({ method: 'POST', url: '/v1/want', headers, payload });
    expect(answer.statusCode, JSON.stringify(payload)).toBe(400);
  }
});
