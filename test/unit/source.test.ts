// The sources of bytes that there are, and what is particular to each.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { digestOf, sha256 } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { createPeerDoor, type Serving } from '../../node/doors/peer/peer-door.ts';
import { HerdError } from '../../node/errors.ts';
import type { Boarding } from '../../node/fetch/flights.ts';
import { LocalSource } from '../../node/fetch/local-source.ts';
import type { Supply } from '../../node/fetch/supply.ts';
import { Flight } from '../../node/flight/flight.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { systemClock as clock } from '../../node/platform/clock.ts';
import { silentLog as log } from '../../node/platform/log.ts';
import { seededRandom } from '../../node/platform/random.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { HttpPeers } from '../../node/transfer/peer/http-peers.ts';
import { MemberSource } from '../../node/transfer/peer/member-source.ts';
import { UndiciUpstream } from '../../node/transfer/upstream/undici-upstream.ts';
import { createUpstreamGuard } from '../../node/transfer/upstream/upstream-guard.ts';
import { UpstreamSource } from '../../node/transfer/upstream/upstream-source.ts';
import type { Upstream } from '../../node/transfer/upstream.ts';
import { pskCredentials } from '../../node/wire/tls-psk.ts';
import { type SourceOrder, sourceContract } from '../contract/source.contract.ts';
import { body, put } from '../contract/store.contract.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { type MemoryNet, MemoryPeers } from '../fixtures/memory-peers.ts';
import { waysFixture } from '../fixtures/ways.ts';
import { serve, stallAfter } from '../support/faulty-server.ts';

const url = 'http://archive.ubuntu.com/ubuntu/pool/main/b/big/big_1_amd64.deb';
const cut = new HerdError('SOURCE_FAILED', 'cut');
const pool = new PiecePool();

const wantedOf = (bytes: Buffer) => ({ key: digestOf(bytes), url });

/** An object here, and how many hold it open. */
async function supplyOf(bytes: Buffer, kind: Supply['kind'], pieces?: number) {
  const store = new MemoryStore();
  let held = true;
  const leave = () => {
    held = false;
  };
  if (kind === 'stored') {
    const object = (await store.open(await put(store, bytes)))!;
    object.close = async () => leave();
    return { supply: { kind, object } as Supply, open: () => Number(held), breakOff() {} };
  }
  const { key } = wantedOf(bytes);
  const flight = new Flight({ pool, store, clock, log }, { key, url });
  await flight.open();
  const last = pieces === undefined ? bytes.length : pieces * PIECE_BYTES;
  const fly = async () => {
    flight.describe({ size: bytes.length });
    for (let at = 0; at < last; at += PIECE_BYTES) {
      await flight.append(at / PIECE_BYTES, bytes.subarray(at, at + PIECE_BYTES));
    }
    if (pieces === undefined) await flight.end();
  };
  void fly();
  const feeder = { rootAgeMs: 0, passedOn: false, narrow: false };
  const boarding = { flight, feeder, joined: true, leave } as unknown as Boarding;
  return {
    supply: { kind, boarding } as Supply,
    open: () => flight.readers + Number(held),
    breakOff: () => flight.fail(cut),
  };
}

/** What a member has to say of `order`: whole things are stored there, others coming in. */
async function servingOf({ bytes, pieces }: SourceOrder) {
  const made = bytes && (await supplyOf(bytes, pieces === undefined ? 'stored' : 'flight', pieces));
  let asked = 0;
  const object = async () => {
    asked++;
    return made?.supply;
  };
  return {
    serving: { supplies: { object } } as unknown as Serving,
    links: { best: 0 },
    ways: waysFixture(),
    members: () => [],
    counters: new Counters(),
    // It is open from the start, whether or not somebody asks.
    open: () => (asked > 0 && made ? made.open() : 0),
    breakOff: () => made?.breakOff(),
  };
}

const member = { name: 'host1', address: '127.0.0.1', port: 3143 };
const memberTraits = { hashes: true, waits: true, misses: true };

for (const key of [undefined, `name-${'a'.repeat(40)}`]) {
  const name = key === undefined ? 'MemberSource in memory' : 'MemberSource of another name';
  sourceContract(name, memberTraits, async (order) => {
    const { open, ...door } = await servingOf(order);
    const pipes = new Set<never>();
    const net: MemoryNet = new Map([['127.0.0.1:3143', { ...door, pipes }]]);
    const peers = new MemoryPeers({ clock, net });
    const source = new MemberSource({ peers }, member, key === undefined ? {} : { key });
    const wanted = wantedOf(order.bytes ?? Buffer.alloc(0));
    return { source, wanted, open: () => open() + pipes.size, breakOff: door.breakOff };
  });
}

sourceContract('MemberSource over HTTP', memberTraits, async (order) => {
  const credentials = pskCredentials(Buffer.alloc(32, 7));
  const { open, breakOff, ...serving } = await servingOf(order);
  const deps = { ...serving, pool, clock, log };
  const server = createPeerDoor(deps, { credentials });
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const peers = new HttpPeers({ pool, clock, credentials });
  const remove = async () => {
    await peers.close();
    await server.close();
  };
  const wanted = wantedOf(order.bytes ?? Buffer.alloc(0));
  return {
    source: new MemberSource({ peers }, { ...member, port }),
    wanted,
    open,
    breakOff,
    remove,
  };
});

const upstreamTraits = { hashes: false, waits: true, misses: true };
const received = () => {};

function upstreamSource(upstream: Upstream) {
  return new UpstreamSource({ upstream, pool, received }, { elected: true });
}

sourceContract('UpstreamSource in memory', upstreamTraits, async ({ bytes, pieces }) => {
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  const pace = async (at: number) => {
    if (pieces !== undefined && at >= pieces * PIECE_BYTES) await over.promise;
  };
  const found = bytes && { body: bytes, size: bytes.length, pace };
  const upstream = new FakeUpstream(() => found ?? { status: 404 });
  return {
    source: upstreamSource(upstream),
    wanted: wantedOf(bytes ?? Buffer.alloc(0)),
    open: () => upstream.open,
    breakOff: () => over.reject(cut),
  };
});

sourceContract('UpstreamSource over HTTP', upstreamTraits, async ({ bytes, pieces }) => {
  let open = 0;
  const server = createServer((req, res) => {
    open++;
    res.once('close', () => open--);
    if (!bytes) res.writeHead(404).end();
    else if (pieces === undefined) serve(bytes)(req, res);
    else stallAfter(bytes, pieces * PIECE_BYTES)(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const guard = createUpstreamGuard({ archives: () => [host] }, { allow: [] });
  const options = { version: '1', attemptsMax: 1, backoffMs: 1 };
  const upstream = new UndiciUpstream({ guard, clock, random: seededRandom(1) }, options);
  const remove = async () => {
    await upstream.close();
    server.closeAllConnections();
    server.close();
  };
  return {
    source: upstreamSource(upstream),
    wanted: { key: digestOf(bytes ?? ''), url: `http://${host}/big.deb` },
    open: () => open,
    breakOff: () => {
      server.close();
      server.closeAllConnections();
    },
    remove,
  };
});

const localTraits = { hashes: true, misses: false };

sourceContract('LocalSource of the store', { ...localTraits, waits: false }, async ({ bytes }) => {
  const { supply, open } = await supplyOf(bytes!, 'stored');
  return { source: new LocalSource({ pool }, supply), wanted: wantedOf(bytes!), open };
});

const flying = { ...localTraits, waits: true };
sourceContract('LocalSource of a flight', flying, async ({ bytes, pieces }) => {
  const { supply, open, breakOff } = await supplyOf(bytes!, 'flight', pieces);
  return { source: new LocalSource({ pool }, supply), wanted: wantedOf(bytes!), open, breakOff };
});

describe('upstream', () => {
  const call = { signal: new AbortController().signal };

  test('that starts over where it was asked to go on gives the same pieces', async () => {
    const bytes = body(PIECE_BYTES * 2.5);
    const counted: number[] = [];
    const upstream = new FakeUpstream(() => ({ body: bytes, from: 0, size: bytes.length }));
    const deps = { upstream, pool, received: (more: number) => counted.push(more) };
    const source = new UpstreamSource(deps, { elected: true });
    const stream = await source.open(wantedOf(bytes), { from: 1 }, call);
    expect(upstream.requests).toMatchObject([{ from: PIECE_BYTES, immutable: true }]);
    expect(await stream.next()).toMatchObject({ type: 'meta', meta: { size: bytes.length } });
    for (const index of [1, 2]) {
      const part = bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES);
      const frame = await stream.next();
      expect(frame).toMatchObject({ type: 'piece', index });
      expect(frame?.type === 'piece' && sha256(frame.bytes).equals(sha256(part))).toBe(true);
    }
    expect(await stream.next()).toEqual({ type: 'end', pieces: 3 });
    // What was thrown away came over the line, too.
    expect(counted.reduce((sum, more) => sum + more)).toBe(bytes.length);
  });

  test.each([
    [404, 'NOT_FOUND', 404],
    [410, 'NOT_FOUND', 410],
    [401, 'UPSTREAM_DENIED', 401],
    [403, 'UPSTREAM_DENIED', 403],
    [418, 'UPSTREAM_ERROR', 502],
  ])('that answers %i is %s', async (status, code, told) => {
    const source = upstreamSource(new FakeUpstream(() => ({ status })));
    const opening = source.open(wantedOf(body(1)), { from: 0 }, call);
    await expect(opening).rejects.toMatchObject({ code, status: told });
  });
});
