// apt's own lists folder. It has indexes that this node did not see on their way (fetched as
// pdiffs, or before it was installed): read when a package is unknown, and only what changed. Those
// that it saw lie there unpacked, which saves unpacking them again.
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { archiveBaseOf } from '../apt/classify.ts';
import { urlsOfListName } from '../apt/list-names.ts';
import type { CatalogEntry } from '../catalog/catalog.ts';
import type { LocalList, LocalLists } from '../catalog/local-lists.ts';
import { type Digest, digestOf, Hasher } from '../content/digest.ts';
import { KiB } from '../limits.ts';

const CHUNK_BYTES = 64 * KiB;

interface AptListsDeps {
  /** Base URLs of the archives in apt's sources, each ending with a slash. */
  archives(): Iterable<string>;
}

export class AptLists implements LocalLists {
  readonly #archives: () => Iterable<string>;
  readonly #folder: string;

  /** `folder`: `/var/lib/apt/lists`; one that cannot be read has no lists. */
  constructor(deps: AptListsDeps, options: { readonly folder: string }) {
    this.#archives = () => deps.archives();
    this.#folder = options.folder;
  }

  /** Modification time of the folder: apt moves each list into its place. */
  async revision(): Promise<number | undefined> {
    return (await stat(this.#folder).catch(() => undefined))?.mtimeMs;
  }

  /** The Packages and Sources files, told apart by size and times. */
  async lists(url?: string): Promise<LocalList[]> {
    const names = await this.#names();
    const bases = [...this.#archives()];
    const found: LocalList[] = [];
    for (const name of names) {
      for (const indexUrl of urlsOfListName(name, bases)) {
        const baseUrl = archiveBaseOf(indexUrl);
        if (url !== undefined && !url.startsWith(baseUrl)) continue;
        const file = join(this.#folder, name);
        const state = await stat(file).catch(() => undefined);
        if (!state?.isFile()) continue;
        const indexDigest = digestOf(`${name} ${state.size} ${state.mtimeMs} ${state.ctimeMs}`);
        const index = { indexUrl: `list ${indexUrl}`, indexDigest, baseUrl, secondHand: true };
        found.push({ index, read: () => readList(file) });
      }
    }
    return found;
  }

  async unpacked(
    indexUrl: string,
    promised: CatalogEntry,
  ): Promise<AsyncIterable<Buffer> | undefined> {
    const names = await this.#names();
    const bases = [...this.#archives()];
    const name = names.find((each) => urlsOfListName(each, bases).includes(indexUrl));
    if (name === undefined) return undefined;
    const file = join(this.#folder, name);
    const state = await stat(file).catch(() => undefined);
    return state?.size === promised.size ? checked(readList(file), promised.digest) : undefined;
  }

  #names(): Promise<string[]> {
    return readdir(this.#folder).catch(() => []);
  }
}

async function* checked(bytes: AsyncIterable<Buffer>, digest: Digest): AsyncGenerator<Buffer> {
  const hasher = new Hasher();
  for await (const chunk of bytes) {
    hasher.update(chunk);
    yield chunk;
  }
  if (hasher.digest() !== digest) throw new Error('what apt unpacked is not what Release promises');
}

async function* readList(file: string): AsyncGenerator<Buffer> {
  const handle = await open(file);
  try {
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK_BYTES));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
}
