// Bytes that rotted on the disk reach nobody, and are fetched anew.
import { expect, test } from 'vitest';
import { PIECE_BYTES } from '../../node/limits.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { herdFixture, objectOf } from '../fixtures/herd.ts';

const object = objectOf('rotten', 3 * PIECE_BYTES + 1);

/** Gives one wrong byte of piece 1 from its second opening on. */
class RottenStore extends MemoryStore {
  rotten = false;

  override async open(...args: Parameters<MemoryStore['open']>) {
    const reader = await super.open(...args);
    if (!reader || !this.rotten) return reader;
    const { read } = reader;
    reader.read = async (offset, length) => {
      const bytes = Buffer.from(await read(offset, length));
      const at = PIECE_BYTES + 7 - offset;
      if (at >= 0 && at < length) bytes[at]! ^= 1;
      return bytes;
    };
    return reader;
  }
}

test.each([1, 2])('to a client and to a peer, in a fleet of %i', async (count) => {
  const upstream = new FakeUpstream(() => ({ body: object.body, size: object.body.length }));
  const stores = [new RottenStore(), new RottenStore()];
  const herd = herdFixture({
    nodes: count,
    objects: [object],
    upstream,
    store: (n) => stores[n]!,
  });
  const [owner = 0, other = owner] = herd.ranking(object);
  await herd.get(owner, object.url);
  stores[owner]!.rotten = true;
  if (count === 1) await expect(herd.get(owner, object.url)).rejects.toThrow('rotted');
  else expect((await herd.get(other, object.url)).equals(object.body)).toBe(true);
  expect(stores[owner]!.stat(object.digest)).toBeUndefined();
  stores[owner]!.rotten = false;
  expect((await herd.get(owner, object.url)).equals(object.body)).toBe(true);
  expect(herd.nodes[other]!.fleet.blames().filter(({ fault }) => fault === 'corrupt')).toEqual([]);
});
