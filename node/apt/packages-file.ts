// Packages and Sources files, read as they stream: which files they list, and their digests.
import { type Digest, isDigest } from '../content/digest.ts';
import { cleanPath } from './release-file.ts';

export interface IndexedFile {
  /** Relative to the archive's base, without `./`, not escaped; its characters are bytes. */
  readonly path: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const HASH = 0x23;
const COLON = 0x3a;
/** Longer lines (only Depends and the like) are passed over when they span chunks. */
const LINE_MAX = 64 * 1024;

type Field = 'filename' | 'size' | 'sha256' | 'directory' | 'checksums-sha256';
/** By first letter in lower case, so that most lines are dismissed by one comparison. */
const fieldsByLetter: ReadonlyMap<number, readonly Field[]> = new Map([
  [0x66, ['filename']],
  [0x73, ['size', 'sha256']],
  [0x64, ['directory']],
  [0x63, ['checksums-sha256']],
]);
const interesting = new Uint8Array(256);
for (const letter of fieldsByLetter.keys()) interesting[letter] = interesting[letter - 32] = 1;
for (const byte of [LF, CR, SPACE, TAB, HASH]) interesting[byte] = 1;

/**
 * Scans an index chunk by chunk. A stanza with Filename, Size and SHA256 lists one file; one
 * with Directory and Checksums-Sha256 lists several. Nothing throws: what cannot be used is
 * counted in `skipped`.
 */
export class IndexScanner {
  /** Files without SHA-256 or with values that make no sense. */
  skipped = 0;
  #found: IndexedFile[] = [];
  #rest: Buffer | undefined;
  #passing = false;
  #fields: { [F in Field]?: string } = {};
  #checksums: string[] = [];
  #field: Field | undefined;
  #open = false;

  /** The files of the stanzas that `chunk` completes. */
  push(chunk: Buffer): IndexedFile[] {
    let start = 0;
    if (this.#rest !== undefined || this.#passing) {
      start = this.#finishLine(chunk);
      if (start === -1) return this.#take();
    }
    const end = this.#lines(chunk, start);
    if (end < chunk.length) this.#rest = Buffer.from(chunk.subarray(end));
    return this.#take();
  }

  /** The files of the last stanza, which need not end with a newline. */
  end(): IndexedFile[] {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined && !this.#passing) this.#line(rest, 0, rest.length);
    this.#endStanza();
    return this.#take();
  }

  /** Completes the line begun in earlier chunks; -1 when it does not end here. */
  #finishLine(chunk: Buffer): number {
    const newline = chunk.indexOf(LF);
    if (this.#passing) {
      if (newline === -1) return -1;
      this.#passing = false;
      return newline + 1;
    }
    const part = newline === -1 ? chunk : chunk.subarray(0, newline);
    const line = Buffer.concat([this.#rest!, part]);
    this.#rest = undefined;
    if (newline !== -1) {
      this.#line(line, 0, line.length);
      return newline + 1;
    }
    if (line.length > LINE_MAX) this.#passing = true;
    else this.#rest = line;
    return -1;
  }

  /** Reads the whole lines from `start` on; returns where the unfinished last one begins. */
  #lines(chunk: Buffer, start: number): number {
    const length = chunk.length;
    let begin = start;
    let at = start;
    while (at < length) {
      const useful = interesting[chunk[at]!]! === 1;
      at = chunk.indexOf(LF, at);
      if (at === -1) break;
      if (useful) this.#line(chunk, begin, at);
      else {
        this.#field = undefined;
        this.#open = true;
      }
      begin = ++at;
    }
    return begin;
  }

  #line(buffer: Buffer, begin: number, newline: number): void {
    const end = newline > begin && buffer[newline - 1] === CR ? newline - 1 : newline;
    const first = buffer[begin];
    if (end === begin) this.#endStanza();
    if (end === begin || first === HASH) return;
    if (first === SPACE || first === TAB) {
      if (this.#field !== undefined) this.#fold(this.#field, buffer.toString('latin1', begin, end));
      return;
    }
    this.#open = true;
    this.#field = fieldAt(buffer, begin, end);
    if (this.#field === undefined) return;
    const value = buffer.toString('latin1', begin + this.#field.length + 1, end).trim();
    this.#fields[this.#field] = value;
    if (this.#field === 'checksums-sha256') this.#checksums = value === '' ? [] : [value];
  }

  /** apt takes what follows an empty `Filename:` on the next line as its value. */
  #fold(field: Field, line: string): void {
    if (field === 'checksums-sha256') this.#checksums.push(line);
    else this.#fields[field] = `${this.#fields[field]}\n${line}`.trim();
  }

  #endStanza(): void {
    if (!this.#open) return;
    const { filename, size, sha256, directory } = this.#fields;
    if (filename !== undefined) this.#add(filename, size, sha256);
    else if (directory !== undefined) this.#addSource(directory);
    this.#open = false;
    this.#field = undefined;
    this.#fields = {};
    this.#checksums = [];
  }

  #addSource(directory: string): void {
    if (this.#checksums.length === 0) this.skipped++;
    const folder = directory === '' || directory === '.' ? '' : `${directory.replace(/\/+$/, '')}/`;
    for (const line of this.#checksums) {
      const [digest, size, name, ...more] = line.trim().split(/[ \t]+/);
      if (name === undefined || more.length > 0 || name.includes('/')) this.skipped++;
      else this.#add(folder + name, size, digest);
    }
  }

  #add(filename: string, size: string | undefined, sha256: string | undefined): void {
    const path = cleanPath(filename);
    const digest = sha256?.toLowerCase();
    const bytes = size !== undefined && /^\d+$/.test(size) ? Number(size) : Number.NaN;
    if (path === undefined || path.includes('\n')) this.skipped++;
    else if (digest === undefined || !isDigest(digest)) this.skipped++;
    else if (!Number.isSafeInteger(bytes)) this.skipped++;
    else this.#found.push({ path, digest, size: bytes });
  }

  #take(): IndexedFile[] {
    if (this.#found.length === 0) return none;
    const found = this.#found;
    this.#found = [];
    return found;
  }
}

const none: IndexedFile[] = [];

/** The field of interest whose name and colon stand at `begin`. */
function fieldAt(buffer: Buffer, begin: number, end: number): Field | undefined {
  candidates: for (const name of fieldsByLetter.get(buffer[begin]! | 0x20) ?? []) {
    if (end - begin <= name.length || buffer[begin + name.length] !== COLON) continue;
    for (let at = 0; at < name.length; at++) {
      const byte = buffer[begin + at]!;
      const lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
      if (lower !== name.charCodeAt(at)) continue candidates;
    }
    return name;
  }
  return undefined;
}

/** The files that an uncompressed index lists, in batches, one for each chunk that has some. */
export async function* scanIndex(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  scanner: IndexScanner = new IndexScanner(),
): AsyncGenerator<IndexedFile[]> {
  for await (const chunk of chunks) {
    const files = scanner.push(chunk);
    if (files.length > 0) yield files;
  }
  const files = scanner.end();
  if (files.length > 0) yield files;
}
