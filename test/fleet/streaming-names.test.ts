// Files whose digest nobody knows while they come in: from the owner of their name, and from others
// when it fails.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { cameFromMember } from '../../node/fetch/came-from-member.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { fastClock, type Herd, herdFixture, objectOf } from '../fixtures/herd.ts';

const url = 'http://archive.ubuntu.com/ubuntu/dists/noble/installer.iso';
const { body } = objectOf('installer.iso', 8 * PIECE_BYTES + 77);
const nodes = 3;
/** A second of the daemon is a quarter of one here. */
const clock = fastClock(4);

/** Numbers of the nodes by their rank for the name; the same in each herd. */
const [owner = 0, successor = 0, member = 0] = herdFixture({
  nodes,
  objects: [],
  upstream: new FakeUpstream(() => ({})),
}).ranking({ digest: url });

type Outgoing = (index: number, bytes: Buffer) => Promise<Buffer>;

interface Setup {
  /** What the owner passes on instead of each piece. */
  readonly outgoing?: Outgoing;
  /** The member's client leaves. */
  readonly signal?: AbortSignal;
}

/**
 * Upstream has given three pieces to the owner, and the member has begun to get them; the rest
 * comes when upstream may `go` on. `latest`: what upstream gives to those who ask from now on.
 */
async function streaming({ outgoing, signal }: Setup = {}) {
  const gate = Promise.withResolvers<void>();
  const pace = (at: number) => (at < 3 * PIECE_BYTES ? sleep(0) : gate.promise);
  const state = { latest: body };
  const upstream = new FakeUpstream(() => ({ body: state.latest, size: body.length, pace }));
  const herd = herdFixture({
    ...{ nodes, objects: [], upstream, clock, silenceMs: 2_000 },
    outgoing: (n) => (n === owner ? outgoing : undefined),
  });
  const got = herd.get(member, url, signal);
  got.catch(() => {});
  const flight = () => herd.nodes[member]!.flights.report()[0];
  await vi.waitFor(() => expect(flight()?.bytes ?? 0).toBeGreaterThan(0), 5_000);
  return { herd, upstream, state, flight, got: () => got, go: () => gate.resolve() };
}

const blames = (herd: Herd) =>
  herd.nodes[member]!.fleet.blames().map(({ name, fault }) => `${name} ${fault}`);
const nameOf = (herd: Herd, n: number) => herd.nodes[n]!.self.name;

test('what the owner passes on is a member’s: its bytes, its rate, its copy to keep', async () => {
  const { herd, upstream, flight, got, go } = await streaming();
  const { counters, links, flights, store } = herd.nodes[member]!;
  const { source, sourceKind } = flight()!;
  expect({ source, sourceKind }).toEqual({ source: nameOf(herd, owner), sourceKind: 'member' });
  const keepers: boolean[] = [];
  store.on('added', ({ digest }) => keepers.push(!cameFromMember(flights, digest)));
  go();
  expect((await got()).equals(body)).toBe(true);
  await vi.waitFor(() => expect(keepers).toEqual([false]));
  expect(counters.get('received.bytes.peer')).toBe(body.length);
  expect(counters.get('apt.bytes.peer')).toBe(body.length);
  expect(links.best).toBeGreaterThan(0);
  expect([upstream.requests.length, upstream.open]).toEqual([1, 0]);
});

test('one broken connection is no reason to ask upstream again, nor to blame', async () => {
  const { herd, upstream, got, go } = await streaming();
  for (const pipe of herd.nodes[owner]!.door.pipes) pipe.destroy();
  await sleep(20);
  go();
  expect((await got()).equals(body)).toBe(true);
  expect([upstream.requests.length, blames(herd)]).toEqual([1, []]);
});

describe('the owner fails in mid-file', () => {
  test('killed: its successor has the rest, and it is named', async () => {
    const { herd, upstream, got, go } = await streaming();
    await herd.kill(owner);
    go();
    expect((await got()).equals(body)).toBe(true);
    expect(blames(herd)).toContain(`${nameOf(herd, owner)} unreachable`);
    expect(herd.nodes[successor]!.counters.get('upstream.requests.elected')).toBe(1);
    expect(upstream.requests.length).toBe(2);
  });

  test('killed, and nobody else is there: the node goes upstream itself', async () => {
    const { herd, upstream, got, go } = await streaming();
    await Promise.all([owner, successor].map((n) => herd.kill(n)));
    go();
    expect((await got()).equals(body)).toBe(true);
    expect(upstream.requests.length).toBe(2);
  });

  test('silent: the node does not wait for it for ever', async () => {
    const never = new Promise<Buffer>(() => {});
    const outgoing: Outgoing = async (index, bytes) => (index < 2 ? bytes : never);
    const { herd, got, go } = await streaming({ outgoing });
    go();
    expect((await got()).equals(body)).toBe(true);
    expect(blames(herd)).toContain(`${nameOf(herd, owner)} stalled`);
  });

  test('wrong bytes: it is named, and the right ones come from elsewhere', async () => {
    const outgoing: Outgoing = async (index, bytes) => (index < 2 ? bytes : Buffer.alloc(9, 1));
    const wrong: Outgoing = async (index, bytes) =>
      (await outgoing(index, bytes)).length === 9 ? Buffer.alloc(bytes.length, 1) : bytes;
    const { herd, got, go } = await streaming({ outgoing: wrong });
    go();
    expect((await got()).equals(body)).toBe(true);
    expect(blames(herd)).toContain(`${nameOf(herd, owner)} corrupt`);
    expect(herd.nodes[member]!.counters.get('pieces.bad')).toBe(1);
  });

  test('upstream has another version by now: the answer ends, and mixes no two', async () => {
    const { herd, state, got, go } = await streaming();
    state.latest = Buffer.from(body).fill(7, 0, 100);
    await herd.kill(owner);
    go();
    await expect(got()).rejects.toMatchObject({ code: 'CONTENT_MISMATCH' });
    expect(blames(herd).join()).not.toContain('corrupt');
  });
});

test('once its last reader has left it comes in no more, at the owner neither', async () => {
  const leaving = new AbortController();
  const { herd, upstream, got } = await streaming({ signal: leaving.signal });
  leaving.abort();
  expect((await got()).length).toBeLessThan(body.length);
  const active = () => herd.nodes.map(({ flights }) => flights.active);
  await vi.waitFor(() => expect(active()).toEqual([0, 0, 0]), 5_000);
  expect([upstream.requests.length, upstream.open]).toEqual([1, 0]);
});
