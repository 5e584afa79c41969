// What a client of one node gets when the world is not as it was.
import { expect, test } from 'vitest';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { herdFixture } from '../fixtures/herd.ts';

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
