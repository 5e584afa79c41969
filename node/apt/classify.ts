// What kind of file a URL of an archive names, told from its path alone.

export type PathClass =
  /** InRelease, Release or Release.gpg: changes under its name. */
  | { readonly kind: 'release' }
  /** `by-hash/SHA256/…`: never changes. `hash` in lower case. */
  | { readonly kind: 'by-hash'; readonly algorithm: HashName; readonly hash: string }
  /** Packages, Sources, Translation-*, Contents-*, Components-*, icons-*, … of a suite. */
  | { readonly kind: 'index' }
  /** .deb, .udeb, .ddeb */
  | { readonly kind: 'package' }
  /** .dsc and the tarballs, diffs and signatures of a source package. */
  | { readonly kind: 'source' }
  /** `Packages.diff/…` and the like. */
  | { readonly kind: 'pdiff' }
  | { readonly kind: 'other' };

export type HashName = 'MD5Sum' | 'SHA1' | 'SHA256' | 'SHA512';

export const hashLengths: Readonly<Record<HashName, number>> = {
  MD5Sum: 32,
  SHA1: 40,
  SHA256: 64,
  SHA512: 128,
};

const compressed = '(?:\\.(?:gz|xz|bz2|lzma|lz4|zst))?';
const perLanguage = '(?:Translation|Contents|Components|Commands|icons)-.+?';
const indexName = new RegExp(`^(?:Packages|Sources|Index|${perLanguage})${compressed}$`);
const packageName = /\.(?:u|d)?deb$/;
const sourceName = /\.(?:dsc|(?:tar|diff)\.(?:gz|xz|bz2|lzma|zst)(?:\.asc)?)$/;

/** `url` is canonical; its query does not count. Whatever is not recognised is 'other'. */
export function classify(url: string): PathClass {
  const path = pathOf(url);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (/^(?:InRelease|Release(?:\.gpg)?)$/.test(name)) return { kind: 'release' };
  const byHash = byHashOf(path);
  if (byHash) return byHash;
  if (/\.diff\/[^/]+$/.test(path)) return { kind: 'pdiff' };
  if (packageName.test(name)) return { kind: 'package' };
  if (indexName.test(name)) return { kind: 'index' };
  if (sourceName.test(name) && !path.includes('/dists/')) return { kind: 'source' };
  if (path.includes('/dists/') && /\/(?:dep11|cnf|i18n)\//.test(path)) {
    return { kind: 'index' };
  }
  return { kind: 'other' };
}

/** Told from the end of the URL: most that apt asks for are, and none of them is an index. */
export function isPackage(url: string): boolean {
  return packageName.test(url);
}

function byHashOf(path: string): PathClass | undefined {
  const match = /\/by-hash\/(MD5Sum|SHA1|SHA256|SHA512)\/([0-9A-Fa-f]+)$/.exec(path);
  if (!match) return undefined;
  const algorithm = match[1] as HashName;
  const hash = match[2]!.toLowerCase();
  return hash.length === hashLengths[algorithm] ? { kind: 'by-hash', algorithm, hash } : undefined;
}

function pathOf(url: string): string {
  const mark = url.indexOf('?');
  return mark === -1 ? url : url.slice(0, mark);
}

/** The URL up to and with its last slash. */
export function folderOf(url: string): string {
  const path = pathOf(url);
  return path.slice(0, path.lastIndexOf('/') + 1);
}

/**
 * The URL that Filename and Directory fields are relative to, ending with a slash: what stands
 * before `dists/` or `pool/`; of a flat repository the folder (an index in it may still list its
 * files relative to a parent: see catalog/learner.ts).
 */
export function archiveBaseOf(url: string): string {
  const path = pathOf(url);
  const start = path.indexOf('/', path.indexOf('//') + 2);
  const dists = path.lastIndexOf('/dists/');
  if (dists >= start) return path.slice(0, dists + 1);
  const pool = path.indexOf('/pool/', start);
  if (pool >= start) return path.slice(0, pool + 1);
  const byHash = path.indexOf('/by-hash/', start);
  return byHash >= start ? path.slice(0, byHash + 1) : folderOf(path);
}

/**
 * The index whose versions a URL delivers, whatever its compression and whether asked for by
 * hash: `…/binary-amd64/by-hash/SHA256/…` and `…/binary-amd64/Packages.xz` are both
 * `…/binary-amd64/Packages`. Undefined when the URL cannot be a Packages or Sources file.
 */
export function packageIndexOf(url: string): string | undefined {
  const kind = classify(url);
  if (kind.kind === 'index') {
    const folder = folderOf(url);
    const name = /^(Packages|Sources)(?:\.|$)/.exec(url.slice(folder.length))?.[1];
    return name === undefined ? undefined : folder + name;
  }
  if (kind.kind !== 'by-hash') return undefined;
  const folder = url.slice(0, url.lastIndexOf('/by-hash/') + 1);
  if (/\/source\/$/.test(folder)) return `${folder}Sources`;
  if (/\/binary-[^/]+\/$/.test(folder)) return `${folder}Packages`;
  return folder.includes('/dists/') ? undefined : `${folder}Packages`;
}
