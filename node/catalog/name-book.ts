// What is known of a URL's bytes before anybody is asked for them: from the indexes, or from the
// URL itself where it carries the digest (by-hash).
import { classify, isPackage } from '../apt/classify.ts';
import type { Digest } from '../content/digest.ts';
import type { CatalogEntry } from './catalog.ts';
import type { IndexLearner } from './learner.ts';

type Listed = Partial<CatalogEntry> & Pick<CatalogEntry, 'digest'>;

export function nameBook(learner: IndexLearner) {
  return {
    async lookup(url: string): Promise<Listed | undefined> {
      return (await learner.resolve(url)) ?? namedByHash(url);
    },
    /** As `lookup`, at once: `undefined` also when it takes more than memory to tell. */
    atHand: (url: string): Listed | undefined => learner.atHand(url) ?? namedByHash(url),
    noteObject: (url: string, digest: Digest, size: number): void => {
      if (!isPackage(url)) void learner.noteObject(url, digest, size);
    },
  };
}

function namedByHash(url: string): Listed | undefined {
  const named = classify(url);
  if (named.kind !== 'by-hash' || named.algorithm !== 'SHA256') return undefined;
  return { digest: named.hash };
}
