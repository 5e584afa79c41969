// What members say of upstream: only the owner's word counts, and upstream is asked once for all.
import { describe, expect, test, vi } from 'vitest';
import type { Outgoing } from '../../node/doors/peer/piece-writer.ts';
import { type ErrorCode, HerdError } from '../../node/errors.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { encode } from '../../node/wire/frames.ts';
import { hashesOf } from '../contract/store.contract.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { fastClock, type HerdObject, herdFixture, objectOf } from '../fixtures/herd.ts';

const object = objectOf('h/hearsay.deb', 8 * PIECE_BYTES);
const nodes = 6;
const clock = fastClock(8);

const refused = { status: 404 };
const wrong = { body: Buffer.alloc(object.body.length), size: object.body.length };

function herdOf({ body }: HerdObject, answer: object = { body, size: body.length }) {
  return new FakeUpstream(() => answer);
}

/** A herd in which a holder says `code` instead of giving the object. */
function herdWithLiar(code: ErrorCode) {
  const upstream = herdOf(object);
  const [owner = 0, ...others] = herdFixture({ nodes, objects: [object], upstream }).ranking(
    object,
  );
  const liar = others.at(-1)!;
  const lie = encode.fail(new HerdError(code, 'upstream said so').toJSON());
  const outgoing: Outgoing = async (_index, bytes, sink) => {
    sink.end(lie);
    await sink.left;
    return bytes;
  };
  const herd = herdFixture({
    ...{ nodes, objects: [object], upstream, clock },
    outgoing: (n) => (n === liar ? outgoing : undefined),
  });
  return { herd, upstream, owner, liar, others };
}

const lies = ['NOT_FOUND', 'CONTENT_MISMATCH', 'UPSTREAM_DENIED', 'NO_SOURCE'] as const;

describe.each(lies)('a holder that says %s is not believed', (code) => {
  test('by a member that the owner sent to it: the owner has the bytes', async () => {
    const { herd, upstream, owner, liar, others } = herdWithLiar(code);
    for (const n of [owner, liar]) await herd.get(n, object.url);
    const got = await Promise.all(others.slice(0, 2).map((n) => herd.get(n, object.url)));
    expect(got.every((each) => each.equals(object.body))).toBe(true);
    expect(upstream.requests.length).toBe(1);
  });

  test('by the owner that found it in the DHT: upstream has them', async () => {
    const { herd, upstream, owner, liar, others } = herdWithLiar(code);
    const { store, discovery } = herd.nodes[liar]!;
    const partial = await store.partial(object.digest);
    await partial.append(object.body);
    const { body, digest } = object;
    await partial.commit({ digest, size: body.length }, hashesOf(body));
    discovery.announce(digest);
    const askers = [owner, ...others.slice(0, 2)];
    const got = await Promise.all(askers.map((n) => herd.get(n, object.url)));
    expect(got.every((each) => each.equals(body))).toBe(true);
    expect(upstream.requests.length).toBe(1);
  });
});

test.each([
  ['is not there', refused, 'NOT_FOUND', 1],
  ['is denied', { status: 403 }, 'UPSTREAM_DENIED', 2],
  ['comes wrong', wrong, 'CONTENT_MISMATCH', 2],
] as const)(
  'a file that %s: upstream is asked once for all',
  async (_what, answer, code, times) => {
    const upstream = herdOf(object, answer);
    const herd = herdFixture({ nodes, objects: [object], upstream, clock });
    for (const { n } of herd.nodes) {
      await expect(herd.get(n, object.url)).rejects.toMatchObject({ code });
    }
    expect(upstream.requests.length).toBeLessThanOrEqual(times);
    // Nor by those who ask again within the window; afterwards it may have come.
    await expect(herd.get(0, object.url)).rejects.toMatchObject({ code });
    expect(upstream.requests.length).toBeLessThanOrEqual(times);
  },
);

test('after the window it is asked for again', async () => {
  let there = false;
  const { body } = object;
  const upstream = new FakeUpstream(() => (there ? { body, size: body.length } : refused));
  const fast = fastClock(200);
  const herd = herdFixture({ nodes: 1, objects: [object], upstream, clock: fast });
  await expect(herd.get(0, object.url)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  there = true;
  await vi.waitFor(async () => expect((await herd.get(0, object.url)).equals(body)).toBe(true));
});
