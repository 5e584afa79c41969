// apt's own lists folder. It has indexes that this node did not see on their way (fetched as
// pdiffs, or before it was installed): read when a package is unknown, and only what changed. Those
// that it saw lie there unpacked, which saves unpacking them again.
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { archiveBaseOf } from '../apt/classify.ts';
import { urlsOfListName } from '../apt/list-names.ts';
import { type Digest, digestOf, Hasher } from '../content/digest.ts';
import { KiB } from '../limits.ts';
import type { Catalog, CatalogEntry, LearnedIndex } from './catalog.ts';

const CHUNK_BYTES = 64 * KiB;

interface Deps {
  readonly catalog: Catalog;
  /** Base URLs of the archives in apt's sources, each ending with a slash. */
  archives(): Iterable<string>;
}

/** A lists file that says something else than when it was last learned. */
export interface ChangedList {
  readonly index: LearnedIndex;
  readonly file: string;
}

/**
 * The Packages and Sources files of `folder` that are new or changed (by size and times) and
 * whose archive covers `url`, or all of them. A folder that cannot be read has none.
 */
export async function changedLists(
  { catalog, archives }: Deps,
  folder: string,
  url?: string,
): Promise<ChangedList[]> {
  const names = await readdir(folder).catch(() => []);
  const bases = [...archives()];
  const changed: ChangedList[] = [];
  for (const name of names) {
    for (const indexUrl of urlsOfListName(name, bases)) {
      const baseUrl = archiveBaseOf(indexUrl);
      if (url !== undefined && !url.startsWith(baseUrl)) continue;
      const file = join(folder, name);
      const state = await stat(file).catch(() => undefined);
      if (!state?.isFile()) continue;
      const indexDigest = digestOf(`${name} ${state.size} ${state.mtimeMs} ${state.ctimeMs}`);
      const index = { indexUrl: `list ${indexUrl}`, indexDigest, baseUrl, secondHand: true };
      if ((await catalog.learned(index.indexUrl)) !== indexDigest) changed.push({ index, file });
    }
  }
  return changed;
}

/**
 * An index as apt keeps it unpacked in `folder`; undefined without a file of the `promised` size.
 * Throws at its end unless its bytes are the ones that the Release file promised: what came before
 * must not be used then.
 */
export async function unpackedList(
  archives: Iterable<string>,
  folder: string,
  indexUrl: string,
  promised: CatalogEntry,
): Promise<AsyncIterable<Buffer> | undefined> {
  const names = await readdir(folder).catch(() => []);
  const bases = [...archives];
  const name = names.find((each) => urlsOfListName(each, bases).includes(indexUrl));
  if (name === undefined) return undefined;
  const file = join(folder, name);
  const state = await stat(file).catch(() => undefined);
  return state?.size === promised.size ? checked(readList(file), promised.digest) : undefined;
}

async function* checked(bytes: AsyncIterable<Buffer>, digest: Digest): AsyncGenerator<Buffer> {
  const hasher = new Hasher();
  for await (const chunk of bytes) {
    hasher.update(chunk);
    yield chunk;
  }
  if (hasher.digest() !== digest) throw new Error('what apt unpacked is not what Release promises');
}

export async function* readList(file: string): AsyncGenerator<Buffer> {
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
