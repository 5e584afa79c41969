// What every catalog must do; run it on each implementation.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Catalog, ListedFile, Resolution } from '../../node/catalog/catalog.ts';
import { digestOf } from '../../node/content/digest.ts';

export interface CatalogHarness {
  open(): Promise<Catalog>;
  /** Closes and opens again; undefined where nothing is meant to survive that. */
  reopen?(catalog: Catalog): Promise<Catalog>;
  cleanup(): Promise<void>;
}

const base = 'http://archive.ubuntu.com/ubuntu/';
const main = {
  indexUrl: `${base}dists/noble/main/binary-amd64/Packages`,
  indexDigest: digestOf('1'),
  baseUrl: base,
};

function files(count: number, salt = ''): ListedFile[] {
  return Array.from({ length: count }, (_, n) => ({
    path: `pool/main/p/p${n}/p${n}_1_amd64.deb`,
    digest: digestOf(`${salt}${n}`),
    size: n,
  }));
}

export function catalogContract(name: string, make: () => Promise<CatalogHarness>): void {
  describe(name, () => {
    let harness: CatalogHarness;
    let catalog: Catalog;
    const entry = async (path: string) => (await catalog.lookup(base + path))?.digest;
    beforeEach(async () => {
      harness = await make();
      catalog = await harness.open();
    });
    afterEach(async () => {
      await catalog.close();
      await harness.cleanup();
    });

    it('knows nothing at first', async () => {
      expect(await catalog.lookup(`${base}x.deb`)).toBeUndefined();
      expect(await catalog.lookup('')).toBeUndefined();
      expect(await catalog.learned(main.indexUrl)).toBeUndefined();
      expect(await catalog.resolution(base)).toBeUndefined();
      expect(await catalog.notes('')).toEqual(new Map());
    });

    it.each([0, 1, 63, 64, 65, 1000, 5000])('finds each of %i files', async (count) => {
      const listed = files(count);
      expect(await catalog.learn(main, listed)).toBe(count);
      expect(await catalog.learned(main.indexUrl)).toBe(main.indexDigest);
      for (const { path, digest, size } of listed) {
        expect(await catalog.lookup(base + path)).toEqual({ digest, size });
      }
      expect(await entry('pool/main/p/p/none.deb')).toBeUndefined();
      expect(await entry('')).toBeUndefined();
      expect(await entry('pool/main/p/p0/p0_1_amd64.deb?x')).toBeUndefined();
    });

    it('finds odd names by their canonical URL, and large sizes', async () => {
      const size = 2 ** 47;
      const paths = ['g++_1~2:3.deb', 'a%3a.deb', 'a b.deb', '\xe9.deb', '[x]?.deb'];
      await catalog.learn(
        main,
        paths.map((path) => ({ path, digest: digestOf(path), size })),
      );
      const urls = ['g++_1~2:3.deb', 'a%253a.deb', 'a%20b.deb', '%E9.deb', '%5Bx%5D%3F.deb'];
      for (const [at, url] of urls.entries()) {
        expect(await catalog.lookup(base + url)).toEqual({ digest: digestOf(paths[at]!), size });
      }
    });

    it('replaces what an index said before, and nothing else', async () => {
      const other = { ...main, indexUrl: `${main.indexUrl}2`, indexDigest: digestOf('other') };
      await catalog.learn(other, [{ path: 'other.deb', digest: digestOf('o'), size: 1 }]);
      await catalog.learn(main, files(500));
      await catalog.learn({ ...main, indexDigest: digestOf('2') }, files(100, 'new'));
      expect(await catalog.learned(main.indexUrl)).toBe(digestOf('2'));
      expect(await entry('pool/main/p/p7/p7_1_amd64.deb')).toBe(digestOf('new7'));
      expect(await entry('pool/main/p/p400/p400_1_amd64.deb')).toBeUndefined();
      expect(await entry('other.deb')).toBe(digestOf('o'));
      await catalog.learn(main, []);
      expect(await entry('pool/main/p/p7/p7_1_amd64.deb')).toBeUndefined();
    });

    it('has at hand what was looked up since anything was learned', async () => {
      const url = `${base}pool/main/p/p7/p7_1_amd64.deb`;
      expect(catalog.atHand(url)).toBeUndefined();
      await catalog.learn(main, files(100));
      const entry = await catalog.lookup(url);
      expect(catalog.atHand(url)).toEqual(entry);
      await catalog.learn({ ...main, indexDigest: digestOf('2') }, files(100, 'new'));
      expect(catalog.atHand(url)).not.toEqual(entry);
      await catalog.learn(main, []);
      expect(catalog.atHand(url)).toBeUndefined();
    });

    it('keeps the old files when learning breaks off', async () => {
      await catalog.learn(main, files(100));
      async function* broken() {
        yield* files(50, 'new');
        throw new Error('cut off');
      }
      const learning = catalog.learn({ ...main, indexDigest: digestOf('2') }, broken());
      await expect(learning).rejects.toThrow('cut off');
      expect(await catalog.learned(main.indexUrl)).toBe(main.indexDigest);
      expect(await entry('pool/main/p/p7/p7_1_amd64.deb')).toBe(digestOf('7'));
    });

    it('never shows a file as unknown while its index is replaced', async () => {
      await catalog.learn(main, files(300));
      let learning = true;
      const replace = (async () => {
        for (let n = 0; n < 10; n++) await catalog.learn(main, files(300 + n * 100));
        learning = false;
      })();
      // Another file each time, as an answer may be remembered; and learning needs its turns.
      for (let n = 0; learning; n = (n + 1) % 300) {
        expect(await entry(`pool/main/p/p${n}/p${n}_1_amd64.deb`)).toBe(digestOf(`${n}`));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await replace;
      await Promise.all([1, 2, 3].map((n) => catalog.learn(main, files(200, `${n}`))));
      expect(await entry('pool/main/p/p7/p7_1_amd64.deb')).toBe(digestOf('37'));
    });

    it('believes the longest base, then the youngest index, hearsay last', async () => {
      const path = 'pool/x.deb';
      const say = (indexUrl: string, word: string, more: object = {}) =>
        catalog.learn({ indexUrl, indexDigest: digestOf(word), baseUrl: base, ...more }, [
          { path: 'baseUrl' in more ? 'x.deb' : path, digest: digestOf(word), size: 1 },
        ]);
      await say('a', 'old');
      await say('b', 'young');
      await say('c', 'hearsay', { secondHand: true });
      expect(await entry(path)).toBe(digestOf('young'));
      await say('a', 'youngest');
      expect(await entry(path)).toBe(digestOf('youngest'));
      await say('d', 'nearest', { baseUrl: `${base}pool/` });
      expect(await entry(path)).toBe(digestOf('nearest'));
      await say('d', 'moved', { baseUrl: 'http://mirror.example/' });
      expect(await entry(path)).toBe(digestOf('youngest'));
      expect(await catalog.lookup('http://mirror.example/x.deb')).toMatchObject({ size: 1 });
      await catalog.learn({ indexUrl: 'a', indexDigest: digestOf('-'), baseUrl: base }, []);
      await catalog.learn({ indexUrl: 'b', indexDigest: digestOf('-'), baseUrl: base }, []);
      expect(await entry(path)).toBe(digestOf('hearsay'));
    });

    it('keeps resolutions and notes', async () => {
      const resolution: Resolution = {
        status: 200,
        digest: digestOf('r'),
        size: 3,
        etag: '"x"',
        checkedAtMs: 5,
      };
      await catalog.remember(`${base}dists/noble/InRelease`, resolution);
      await catalog.remember(`${base}gone`, { status: 404, checkedAtMs: 6 });
      await catalog.note('list!a', '1');
      await catalog.note('list!b', '2');
      await catalog.note('mist', '3');
      await catalog.note('list!b', undefined);
      await catalog.note('never', undefined);
      await catalog.learn(main, files(100));
      if (harness.reopen) catalog = await harness.reopen(catalog);
      expect(await catalog.resolution(`${base}dists/noble/InRelease`)).toEqual(resolution);
      expect(await catalog.resolution(`${base}gone`)).toEqual({ status: 404, checkedAtMs: 6 });
      expect(await catalog.notes('list!')).toEqual(new Map([['list!a', '1']]));
      expect(await catalog.learned(main.indexUrl)).toBe(main.indexDigest);
      expect(await entry('pool/main/p/p7/p7_1_amd64.deb')).toBe(digestOf('7'));
      await catalog.learn(main, files(90, 'new'));
      expect(await entry('pool/main/p/p7/p7_1_amd64.deb')).toBe(digestOf('new7'));
    });
  });
}
