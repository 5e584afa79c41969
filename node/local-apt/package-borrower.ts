// Which URLs are worth a look into apt's archive folder, and what the file is called there.
import { unescapeText } from '../apt/percent-encoding.ts';
import type { Digest } from '../content/digest.ts';
import type { BorrowingStore } from './borrowing-store.ts';

/** Takes what apt keeps of the package at a URL into `store`; false when apt has none. */
export function packageBorrower(store: Pick<BorrowingStore, 'adoptPoolFile'>) {
  return async (url: string, entry: { digest: Digest; size?: number }): Promise<boolean> => {
    const { digest, size } = entry;
    if (size === undefined || !url.endsWith('.deb')) return false;
    const name = unescapeText(url.slice(url.lastIndexOf('/') + 1));
    return name !== undefined && (await store.adoptPoolFile(digest, name, size));
  };
}
