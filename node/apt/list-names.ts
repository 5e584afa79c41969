// Names of the files in apt's lists folder (URItoFileName in apt-pkg/strutl.cc), read backwards.
import { canonicalUrl } from './canonical-url.ts';
import { unescapeBytes } from './percent-encoding.ts';
import { parseRequestTarget } from './request-target.ts';

/**
 * The URLs that a lists file may have come from, without the ending of its compression, or
 * nothing when it is no Packages or Sources file. The name does not tell http from https: of
 * `archives` (canonical base URLs, ending with a slash) those count that the name lies below;
 * without one, http is assumed.
 */
export function urlsOfListName(name: string, archives: Iterable<string>): string[] {
  const match = /^(.+_(?:Packages|Sources))(?:\.(?:gz|xz|bz2|lzma|lz4|zst))?$/.exec(name);
  const url = match && urlOf(match[1]!);
  if (!url || url.startsWith('https:')) return url ? [url] : [];
  const place = url.slice('http://'.length);
  const urls = new Set<string>();
  for (const archive of archives) {
    const [scheme, rest] = archive.split('://', 2) as [string, string?];
    if (rest !== undefined && place.startsWith(rest)) urls.add(`${scheme}://${place}`);
  }
  return urls.size > 0 ? [...urls] : [url];
}

/** Canonical; http, unless the URI was written for a proxy and says HTTPS. */
function urlOf(name: string): string | undefined {
  const uri = unescapeBytes(name.replaceAll('_', '/'));
  const ownProxy = /^(?:localhost|127\.0\.0\.1|\[::1\]):\d+(\/.*)$/i.exec(uri);
  const target = ownProxy ? parseRequestTarget('GET', ownProxy[1]!) : undefined;
  const result = target?.kind === 'url' ? target : canonicalUrl(`http://${uri}`);
  return 'reason' in result ? undefined : result.url;
}
