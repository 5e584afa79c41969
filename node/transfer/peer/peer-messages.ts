// What a peer asks or answers is checked before anything acts on it: the key lets a member in, it
// does not make its bytes right. All throw HerdError BAD_REQUEST. By hand: compiled schemas (of
// typebox, by Ajv) check a want in the same half microsecond, and cost a process that loads the
// wire's modules 22 MB.
import type { Member } from '../../../tracker/protocol.ts';
import { parseMember } from '../../../tracker/validate.ts';
import type { Resolution } from '../../catalog/catalog.ts';
import { type Digest, isDigest } from '../../content/digest.ts';
import { HerdError } from '../../errors.ts';
import { isHeaderValue } from '../../wire/header-value.ts';
import type {
  Claim,
  ClaimedName,
  ClaimedObject,
  Hello,
  LinkNews,
  NameAnswer,
  NameQuery,
  Progress,
  ProgressAnswer,
  Want,
  WantAnswer,
} from '../peers.ts';

const LIST_MAX = 10_000;

type Fields = Record<string, unknown>;

export function wantOf(body: unknown): Want {
  const fields = fieldsOf(body, 'a want');
  const { direct } = fields;
  return {
    digest: digestOf(fields.digest),
    ...(fields.size === undefined ? {} : { size: countOf(fields.size, 'size') }),
    url: urlOf(fields.url),
    have: countOf(fields.have, 'have'),
    member: memberOf(fields.member),
    view: countOf(fields.view, 'view'),
    exclude: idsOf(fields.exclude, 'exclude'),
    failed: idsOf(fields.failed, 'failed'),
    unable: idsOf(fields.unable, 'unable'),
    ...(direct === true ? { direct } : {}),
    ...linkOf(fields),
  };
}

function linkOf({ narrow }: Fields): LinkNews {
  return narrow === true ? { narrow } : {};
}

export function progressOf(body: unknown): Progress {
  const fields = fieldsOf(body, 'a progress');
  return {
    digest: digestOf(fields.digest),
    member: textOf(fields.member, 'member'),
    have: countOf(fields.have, 'have'),
    source: textOf(fields.source, 'source'),
    ...linkOf(fields),
    ...(fields.idle === true ? { idle: true } : {}),
  };
}

export function claimOf(body: unknown): Claim {
  const fields = fieldsOf(body, 'a claim');
  return {
    member: memberOf(fields.member),
    objects: listOf(fields.objects, 'objects').map(claimedObjectOf),
    names: listOf(fields.names, 'names').map(claimedNameOf),
  };
}

export function nameQueryOf(body: unknown): NameQuery {
  const fields = fieldsOf(body, 'a question for a name');
  return {
    url: urlOf(fields.url),
    noCache: fields.noCache === true,
    view: countOf(fields.view, 'view'),
    ...(fields.onlyKnown === true ? { onlyKnown: true } : {}),
    ...(fields.has === undefined ? {} : { has: listOf(fields.has, 'has').map(digestOf) }),
  };
}

/** The answer to a want that is no piece stream. */
export function wantAnswerOf(body: unknown): Exclude<WantAnswer, { kind: 'stream' }> {
  const { elsewhere, redirect, passed } = fieldsOf(body, 'an answer to a want');
  if (passed === true) return { kind: 'passed' };
  if (elsewhere !== undefined) return { kind: 'elsewhere', source: memberOf(elsewhere) };
  if (redirect !== undefined) return { kind: 'redirect', owner: memberOf(redirect) };
  throw bad('an answer of no known kind');
}

export function progressAnswerOf(body: unknown): ProgressAnswer {
  const { move } = fieldsOf(body, 'an answer to a progress');
  if (move === undefined) return {};
  if (move === 'slow' || move === 'behind') return { move };
  throw bad('a move for no known reason');
}

export function nameAnswerOf(body: unknown): NameAnswer {
  const { kind, resolution, ageMs, stale, key, error } = fieldsOf(body, 'an answer for a name');
  switch (kind) {
    case 'resolved':
      return {
        kind,
        resolution: resolutionOf(resolution),
        ageMs: ageOf(ageMs),
        stale: stale === true,
      };
    case 'pending':
    case 'unknown':
      return { kind };
    case 'streaming':
      if (typeof key === 'string' && isKey(key)) return { kind, key };
      throw bad('not a key of an object');
    case 'failed':
      return { kind, error: HerdError.from(fieldsOf(error, 'an error')).toJSON() };
  }
  throw bad('an answer of no known kind');
}

/** The answer to a claim, which says nothing. */
export function claimAnswerOf(body: unknown): void {
  fieldsOf(body, 'an answer to a claim');
}

export function helloOf(body: unknown): Hello {
  const { link } = fieldsOf(body, 'a hello');
  return link === undefined ? {} : { link: countOf(link, 'link') };
}

export function membersOf(body: unknown): Member[] {
  return listOf(body, 'members').map(memberOf);
}

/** Under what a peer has bytes: the digest of an object, or the name of a file coming in. */
export function isKey(key: string): boolean {
  return isDigest(key) || /^name-[0-9a-f]{40}$/.test(key);
}

function claimedObjectOf(value: unknown): ClaimedObject {
  const fields = fieldsOf(value, 'a claimed object');
  return {
    digest: digestOf(fields.digest),
    ...(fields.size === undefined ? {} : { size: countOf(fields.size, 'size') }),
    have: countOf(fields.have, 'have'),
  };
}

function claimedNameOf(value: unknown): ClaimedName {
  const { url, resolution, ageMs } = fieldsOf(value, 'a claimed name');
  return { url: urlOf(url), resolution: resolutionOf(resolution), ageMs: ageOf(ageMs) };
}

function resolutionOf(value: unknown): Resolution {
  const fields = fieldsOf(value, 'a resolution');
  const { digest, size, lastModified, etag, contentType, checkedAtMs } = fields;
  return {
    status: statusOf(fields.status, digest !== undefined),
    ...(digest === undefined ? {} : { digest: digestOf(digest) }),
    ...(size === undefined ? {} : { size: countOf(size, 'size') }),
    ...(lastModified === undefined ? {} : { lastModified: headerOf(lastModified, 'lastModified') }),
    ...(etag === undefined ? {} : { etag: headerOf(etag, 'etag') }),
    ...(contentType === undefined ? {} : { contentType: headerOf(contentType, 'contentType') }),
    checkedAtMs: countOf(checkedAtMs, 'checkedAtMs'),
  };
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw bad(`not ${what}`);
}

function memberOf(value: unknown): Member {
  const member = parseMember(value);
  if (member) return member;
  throw bad('not a member');
}

function digestOf(value: unknown): Digest {
  if (typeof value === 'string' && isDigest(value)) return value;
  throw bad('not a SHA-256');
}

function urlOf(value: unknown): string {
  if (typeof value === 'string' && /^https?:\/\/./.test(value) && URL.canParse(value)) return value;
  throw bad('not an http(s) URL');
}

function countOf(value: unknown, what: string): number {
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value);
  throw bad(`${what} is not a whole number`);
}

/** What is worth remembering of upstream's answers (catalog/catalog.ts). */
function statusOf(value: unknown, found: boolean): number {
  if (found && value === 200) return value;
  if (!found && (value === 404 || value === 410)) return value;
  throw bad(`a resolution with status ${typeof value === 'number' ? value : typeof value}`);
}

function ageOf(value: unknown): number {
  if (typeof value === 'number' && value >= 0) return value;
  throw bad(`ageMs of ${typeof value === 'number' ? value : typeof value}`);
}

function headerOf(value: unknown, what: string): string {
  const text = textOf(value, what);
  if (isHeaderValue(text)) return text;
  throw bad(`${what} is not a value of a header`);
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string' && value.length <= 1024) return value;
  throw bad(`${what} is not a text`);
}

function listOf(value: unknown, what: string): unknown[] {
  if (Array.isArray(value) && value.length <= LIST_MAX) return value;
  throw bad(`${what} is not a list`);
}

function idsOf(value: unknown, what: string): string[] {
  return listOf(value, what).map((id) => textOf(id, what));
}

function bad(message: string): HerdError {
  return new HerdError('BAD_REQUEST', message);
}
