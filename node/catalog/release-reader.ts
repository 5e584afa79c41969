// Learning what a Release file says of the indexes below its folder.
import { folderOf } from '../apt/classify.ts';
import { filesOfRelease, parseRelease } from '../apt/release-file.ts';
import type { Digest } from '../content/digest.ts';
import { MiB } from '../limits.ts';
import type { Log } from '../platform/log.ts';
import type { Catalog } from './catalog.ts';

interface ReleaseReaderDeps {
  readonly catalog: Catalog;
  readObject(digest: Digest): Promise<AsyncIterable<Buffer> | undefined>;
  readonly log: Log;
}

const RELEASE_BYTES_MAX = 64 * MiB;

/** InRelease and Release of one folder say the same: both are known as `…/Release`. */
export function releaseOf(url: string): string | undefined {
  return /\/(?:In)?Release$/.test(url) ? `${folderOf(url)}Release` : undefined;
}

/** `indexUrl`: of `releaseOf`. One that lists nothing, or is known, changes nothing. */
export async function learnRelease(
  { catalog, readObject, log }: ReleaseReaderDeps,
  indexUrl: string,
  digest: Digest,
  size: number,
): Promise<void> {
  if (size > RELEASE_BYTES_MAX || (await catalog.learned(indexUrl)) === digest) return;
  const bytes = await readObject(digest);
  if (bytes === undefined) return;
  const chunks: Buffer[] = [];
  for await (const chunk of bytes) chunks.push(chunk);
  const release = parseRelease(Buffer.concat(chunks));
  if (release.entries.length === 0) return;
  const index = { indexUrl, indexDigest: digest, baseUrl: folderOf(indexUrl) };
  const files = await catalog.learn(index, filesOfRelease(release));
  log.debug({ indexUrl, files, skipped: release.skipped }, 'Release learned');
}
