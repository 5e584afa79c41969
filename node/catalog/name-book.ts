// What is known of a URL's bytes before anybody is asked for them: from the indexes, or from the
// URL itself where it carries the digest (by-hash).
import { classify } from '../apt/classify.ts';
import type { Digest } from '../content/digest.ts';
import type { CatalogEntry } from './catalog.ts';
import type { IndexLearner } from './learner.ts';

type Listed = Partial<CatalogEntry> & Pick<CatalogEntry, 'digest'>;

export function nameBook(learner: IndexLearner) {
  return {
    async lookup(url: string): Promise<Listed | undefined> {
      const entry = await learner.resolve(url);
      if (entry) return entry;
      const named = classify(url);
      if (named.kind !== 'by-hash' || named.algorithm !== 'SHA256') return undefined;
      return { digest: named.hash };
    },
    noteObject: (url: string, digest: Digest, size: number) =>
      void learner.noteObject(url, digest, size),
  };
}
