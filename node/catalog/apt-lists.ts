// apt's own lists folder. It has indexes that this node did not see on their way (fetched as
// pdiffs, or before it was installed): read when a package is unknown, and only what changed. Those
// that it saw lie there unpacked, which saves unpacking them again.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { archiveBaseOf } from '../apt/classify.ts';
import { urlsOfListName } from '../apt/list-names.ts';
import { digestOf } from '../content/digest.ts';
import type { Catalog, CatalogEntry, LearnedIndex } from './catalog.ts';

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
 * The file of `folder` in which apt keeps the index unpacked; undefined unless its bytes are the
 * ones `promised` by the Release file.
 */
export async function unpackedList(
  archives: Iterable<string>,
  folder: string,
  indexUrl: string,
  promised: CatalogEntry,
): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => []);
  const bases = [...archives];
  const name = names.find((each) => urlsOfListName(each, bases).includes(indexUrl));
  if (name === undefined) return undefined;
  const file = join(folder, name);
  const state = await stat(file).catch(() => undefined);
  if (state?.size !== promised.size) return undefined;
  const hash = createHash('sha256');
  const hashed = await pipeline(readList(file), hash).then(
    () => hash.digest('hex'),
    () => undefined,
  );
  return hashed === promised.digest ? file : undefined;
}

export function readList(file: string): AsyncIterable<Buffer> {
  return createReadStream(file, { highWaterMark: 64 * 1024 });
}
