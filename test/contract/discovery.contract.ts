// What every discovery must do, whatever carries it.
import { afterEach, describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../node/content/digest.ts';
import type { Discovery, Holder } from '../../node/discovery/discovery.ts';

export interface DiscoveryNode {
  readonly discovery: Discovery;
  readonly self: Holder;
}

export interface DiscoveryFleet {
  readonly nodes: readonly DiscoveryNode[];
  close(): Promise<void>;
}

export async function allHolders(
  discovery: Discovery,
  digest: Digest,
  options: { deadlineMs?: number; signal?: AbortSignal } = {},
): Promise<string[]> {
  const holders: string[] = [];
  const { deadlineMs = 1000 } = options;
  for await (const { address, port } of discovery.find(digest, { ...options, deadlineMs })) {
    holders.push(`${address}:${port}`);
  }
  return holders.sort();
}

/** Asks again until `count` holders are found: announcements take a moment. */
export async function holdersWhen(
  discovery: Discovery,
  digest: Digest,
  count: number,
  options: { deadlineMs?: number } = {},
) {
  for (;;) {
    const holders = await allHolders(discovery, digest, options);
    if (holders.length >= count) return holders;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export function discoveryContract(name: string, make: (nodes: number) => Promise<DiscoveryFleet>) {
  describe(`${name} as a discovery`, () => {
    const cleanups: (() => Promise<void>)[] = [];
    afterEach(async () => {
      for (const cleanup of cleanups.splice(0)) await cleanup();
    });
    const fleet = async (nodes: number) => {
      const made = await make(nodes);
      cleanups.push(() => made.close());
      return made.nodes as [DiscoveryNode, DiscoveryNode, DiscoveryNode, ...DiscoveryNode[]];
    };
    const nameOf = ({ self }: DiscoveryNode) => `${self.address}:${self.port}`;
    const digest = digestOf('an object');

    it('finds each holder once, without the node itself', async () => {
      const [one, two, three, four] = await fleet(4);
      for (const node of [one, two, three]) {
        node.discovery.announce(digest);
        node.discovery.announce(digest);
      }
      const found = await holdersWhen(four!.discovery, digest, 3);
      expect(found).toEqual([one, two, three].map(nameOf).sort());
      expect(await holdersWhen(one.discovery, digest, 2)).toEqual([two, three].map(nameOf).sort());
    });

    it('finds nobody for an object that nobody announced, long before the deadline', async () => {
      const [one, two] = await fleet(3);
      two.discovery.announce(digest);
      await holdersWhen(one.discovery, digest, 1);
      // Of an hour: the test would not last so long.
      const patient = { deadlineMs: 3_600_000 };
      expect(await allHolders(one.discovery, digestOf('another'), patient)).toEqual([]);
    });

    it('ends at once when aborted, before or during the search', async () => {
      const [one] = await fleet(3);
      const signal = AbortSignal.abort();
      expect(await allHolders(one.discovery, digest, { deadlineMs: 60_000, signal })).toEqual([]);
      const abort = new AbortController();
      const search = allHolders(one.discovery, digest, {
        deadlineMs: 60_000,
        signal: abort.signal,
      });
      abort.abort();
      expect(await search).toEqual([]);
    });

    it('lets the reader stop at the first holder', async () => {
      const [one, two, three] = await fleet(3);
      two.discovery.announce(digest);
      three.discovery.announce(digest);
      await holdersWhen(one.discovery, digest, 2);
      let first: Holder | undefined;
      for await (const holder of one.discovery.find(digest, { deadlineMs: 1000 })) {
        first = holder;
        break;
      }
      expect([nameOf(two), nameOf(three)]).toContain(`${first?.address}:${first?.port}`);
    });

    it('serves many searches for one object at once', async () => {
      const [one, two] = await fleet(3);
      two.discovery.announce(digest);
      await holdersWhen(one.discovery, digest, 1);
      const found = await Promise.all(
        Array.from({ length: 20 }, () => allHolders(one.discovery, digest)),
      );
      expect(found.every((holders) => holders.join() === nameOf(two))).toBe(true);
    });

    it('finds nobody after it was closed, and closes twice', async () => {
      const [one, two] = await fleet(3);
      two.discovery.announce(digest);
      await holdersWhen(one.discovery, digest, 1);
      const search = one.discovery.find(digestOf('another'), { deadlineMs: 60_000 });
      await one.discovery.close();
      for await (const holder of search) throw new Error(`found ${holder.address}`);
      await one.discovery.close();
    });
  });
}
