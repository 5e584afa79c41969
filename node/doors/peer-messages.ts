// What a peer asks is checked before anything acts on it: the key lets a member in, it does not
// make its bytes right. All throw HerdError BAD_REQUEST.
import { parseMember } from '../../tracker/validate.ts';
import type { Resolution } from '../catalog/catalog.ts';
import { type Digest, isDigest } from '../content/digest.ts';
import { HerdError } from '../errors.ts';
import type {
  Claim,
  ClaimedName,
  ClaimedObject,
  NameQuery,
  Progress,
  Want,
} from '../transfer/peers.ts';

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
  };
}

export function progressOf(body: unknown): Progress {
  const fields = fieldsOf(body, 'a progress');
  return {
    digest: digestOf(fields.digest),
    member: textOf(fields.member, 'member'),
    have: countOf(fields.have, 'have'),
    source: textOf(fields.source, 'source'),
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
  };
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
  if (typeof ageMs !== 'number' || !(ageMs >= 0)) throw bad(`ageMs of ${String(ageMs)}`);
  return { url: urlOf(url), resolution: resolutionOf(resolution), ageMs };
}

function resolutionOf(value: unknown): Resolution {
  const fields = fieldsOf(value, 'a resolution');
  const { digest, size, lastModified, etag, contentType, checkedAtMs } = fields;
  return {
    status: countOf(fields.status, 'status'),
    ...(digest === undefined ? {} : { digest: digestOf(digest) }),
    ...(size === undefined ? {} : { size: countOf(size, 'size') }),
    ...(lastModified === undefined ? {} : { lastModified: textOf(lastModified, 'lastModified') }),
    ...(etag === undefined ? {} : { etag: textOf(etag, 'etag') }),
    ...(contentType === undefined ? {} : { contentType: textOf(contentType, 'contentType') }),
    checkedAtMs: countOf(checkedAtMs, 'checkedAtMs'),
  };
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw bad(`not ${what}`);
}

function memberOf(value: unknown): Want['member'] {
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
