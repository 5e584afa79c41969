// Release and InRelease files (Debian Repository Format): what a suite's indexes are.
import { type Digest, isDigest } from '../content/digest.ts';
import { type HashName, hashLengths } from './classify.ts';

export interface ReleaseEntry {
  /** Relative to the folder of the Release file, not escaped. */
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The other hashes, lower-case hexadecimal. */
  readonly hashes: Partial<Record<Exclude<HashName, 'SHA256'>, string>>;
}

export interface ReleaseFile {
  readonly entries: readonly ReleaseEntry[];
  /** Lines of the hash lists that could not be used. */
  readonly skipped: number;
}

/** The signed text of a clearsigned file (RFC 9580 section 7), or the text itself. */
export function clearsignedBody(text: string): string {
  const begin = /^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\r?$/m.exec(text);
  if (!begin) return text;
  const headers = text.slice(begin.index + begin[0].length + 1);
  const blank = /^[ \t]*\r?\n/m.exec(headers);
  const body = blank ? headers.slice(blank.index + blank[0].length) : '';
  const end = /^-----BEGIN PGP SIGNATURE-----/m.exec(body);
  return (end ? body.slice(0, end.index) : body).replace(/^- /gm, '');
}

type Hashes = Map<string, { hash: string; size: number }>;

/**
 * Reads the hash lists of a Release or InRelease file; field names in any case, the last of two
 * equal fields counts, a path listed twice in one list counts as first listed. Entries without a
 * SHA-256 are left out. Never throws.
 */
export function parseRelease(bytes: Buffer): ReleaseFile {
  const lists = new Map<HashName, Hashes>();
  const state: { list: Hashes | undefined; name: HashName; skipped: number } = {
    list: undefined,
    name: 'SHA256',
    skipped: 0,
  };
  for (const line of firstStanza(clearsignedBody(bytes.toString('latin1')))) {
    if (line.startsWith(' ') || line.startsWith('\t')) {
      if (state.list && !addLine(state.list, state.name, line)) state.skipped++;
      continue;
    }
    state.list = undefined;
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const hashName = hashFields[line.slice(0, colon).toLowerCase()];
    if (hashName === undefined) continue;
    state.list = new Map();
    state.name = hashName;
    lists.set(hashName, state.list);
  }
  return { entries: joined(lists), skipped: state.skipped };
}

const hashFields: Record<string, HashName | undefined> = {
  md5sum: 'MD5Sum',
  sha1: 'SHA1',
  sha256: 'SHA256',
  sha512: 'SHA512',
};

function* firstStanza(text: string): Generator<string> {
  let begun = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) continue;
    const bare = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (bare.trim() !== '') {
      begun = true;
      yield bare;
    } else if (begun) return;
  }
}

function addLine(list: Hashes, name: HashName, line: string): boolean {
  const match = /^[ \t]+([0-9A-Fa-f]+)[ \t]+(\d+)[ \t]+(\S+)[ \t]*$/.exec(line);
  if (!match || match[1]!.length !== hashLengths[name]) return false;
  const size = Number(match[2]);
  const path = cleanPath(match[3]!);
  if (path === undefined || !Number.isSafeInteger(size)) return false;
  if (!list.has(path)) list.set(path, { hash: match[1]!.toLowerCase(), size });
  return true;
}

/** A path of an index without `.` segments; undefined when it leads out of the archive. */
export function cleanPath(path: string): string | undefined {
  const bare = path.startsWith('./') ? path.replace(/^(?:\.\/+)+/, '') : path;
  if (bare === '' || bare.startsWith('/')) return undefined;
  if (bare.startsWith('.') || bare.includes('/.')) {
    const segments = bare.split('/');
    if (segments.includes('..')) return undefined;
    return segments.filter((segment) => segment !== '.').join('/');
  }
  return bare;
}

function joined(lists: Map<HashName, Hashes>): ReleaseEntry[] {
  const others = [...lists].filter(([name]) => name !== 'SHA256');
  const entries: ReleaseEntry[] = [];
  for (const [path, { hash, size }] of lists.get('SHA256') ?? []) {
    if (!isDigest(hash)) continue;
    const hashes: Record<string, string> = {};
    for (const [name, list] of others) {
      const other = list.get(path);
      if (other?.size === size) hashes[name] = other.hash;
    }
    entries.push({ path, digest: hash, size, hashes });
  }
  return entries;
}

/**
 * Everything that a Release file says of files below its folder: each path, and its by-hash
 * aliases under all algorithms.
 */
export function* filesOfRelease(
  release: ReleaseFile,
): Generator<{ path: string; digest: Digest; size: number }> {
  for (const { path, digest, size, hashes } of release.entries) {
    yield { path, digest, size };
    const folder = `${path.slice(0, path.lastIndexOf('/') + 1)}by-hash`;
    yield { path: `${folder}/SHA256/${digest}`, digest, size };
    for (const [name, hash] of Object.entries(hashes)) {
      yield { path: `${folder}/${name}/${hash}`, digest, size };
    }
  }
}
