// What a peer says is taken apart field by field: nothing but the known fields comes through.
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import {
  claimOf,
  helloOf,
  membersOf,
  nameAnswerOf,
  nameQueryOf,
  progressAnswerOf,
  progressOf,
  wantAnswerOf,
  wantOf,
} from '../../node/transfer/peer/peer-messages.ts';
import { memberFixture } from '../fixtures/members.ts';

const digest = digestOf('object');
const url = 'http://archive.ubuntu.com/ubuntu/pool/a.deb';
const member = memberFixture(1);
const want = {
  digest,
  size: 5,
  url,
  have: 0,
  member,
  view: 1,
  exclude: [],
  failed: [],
  unable: [],
};
const resolution = { status: 200, digest, size: 5, etag: '"1"', checkedAtMs: 7 };
const claim = {
  member,
  objects: [{ digest, size: 5, have: 2 }],
  names: [{ url, resolution, ageMs: 0.5 }],
};
const progress = { digest, member: member.id, have: 3, source: '' };
const error = { code: 'UPSTREAM_DENIED', status: 403, message: 'no', tried: ['a'] };
const resolved = { kind: 'resolved', resolution, ageMs: 0.5, stale: false };
const query = { url, noCache: false, view: 2, onlyKnown: true };

const cases = [
  ['a want', wantOf, want],
  ['a want for the bytes themselves', wantOf, { ...want, direct: true, exclude: ['10.0.0.1:1'] }],
  ['a want of one with a narrow link', wantOf, { ...want, narrow: true }],
  ['a progress', progressOf, progress],
  ['a progress of one that waits', progressOf, { ...progress, narrow: true, idle: true }],
  ['a claim', claimOf, claim],
  [
    'a claim of a name that is gone',
    claimOf,
    {
      ...claim,
      names: [{ url, resolution: { status: 404, checkedAtMs: 7 }, ageMs: 1 }],
    },
  ],
  ['a question for a name', nameQueryOf, query],
  ['news of a name', nameAnswerOf, resolved],
  ['a name that is coming in', nameAnswerOf, { kind: 'streaming', key: `name-${'a'.repeat(40)}` }],
  ['a name that nobody knows', nameAnswerOf, { kind: 'unknown' }],
  ['a name that failed', nameAnswerOf, { kind: 'failed', error }],
  ['a reason to move', progressAnswerOf, { move: 'slow' }],
  ['a hello', helloOf, { link: 6e5 }],
  ['a hello of an older version', helloOf, {}],
] as const;

describe('what a peer says', () => {
  test.each(cases)('%s comes through as it is, without what nobody knows', (_, parse, message) => {
    expect(parse(JSON.parse(JSON.stringify({ ...message, more: 1 })))).toEqual(message);
  });

  test.each([
    [wantOf, undefined, 'not a want'],
    [wantOf, [], 'not a want'],
    [wantOf, { ...want, digest: '../../etc/passwd' }, 'not a SHA-256'],
    [wantOf, { ...want, url: 'file:///etc/passwd' }, 'not an http(s) URL'],
    [wantOf, { ...want, size: -1 }, 'size is not a whole number'],
    [wantOf, { ...want, have: 0.5 }, 'have is not a whole number'],
    [wantOf, { ...want, view: '1' }, 'view is not a whole number'],
    [wantOf, { ...want, member: { ...member, address: 'here' } }, 'not a member'],
    [wantOf, { ...want, failed: 'all' }, 'failed is not a list'],
    [wantOf, { ...want, unable: [{}] }, 'unable is not a text'],
    [progressOf, { ...progress, member: 'x'.repeat(2000) }, 'member is not a text'],
    [claimOf, { ...claim, objects: [{ digest, have: null }] }, 'have is not a whole number'],
    [claimOf, { ...claim, names: [{ url, resolution, ageMs: -1 }] }, 'ageMs of -1'],
    [claimOf, { ...claim, names: [{ url, resolution: 200, ageMs: 1 }] }, 'not a resolution'],
    [claimOf, { ...claim, names: Array(10_001) }, 'names is not a list'],
    [nameQueryOf, { ...query, url: 'http://' }, 'not an http(s) URL'],
    [wantAnswerOf, {}, 'an answer of no known kind'],
    [wantAnswerOf, { elsewhere: { ...member, port: 70_000 } }, 'not a member'],
    [wantAnswerOf, { redirect: { id: 'x' } }, 'not a member'],
    [membersOf, {}, 'members is not a list'],
    [membersOf, [member, { ...member, archives: undefined }], 'not a member'],
    [helloOf, { link: -1 }, 'link is not a whole number'],
    [helloOf, [], 'not a hello'],
    [progressAnswerOf, { move: true }, 'a move for no known reason'],
    [nameAnswerOf, { kind: 'resolving' }, 'an answer of no known kind'],
    [nameAnswerOf, { ...resolved, ageMs: {} }, 'ageMs of object'],
    [nameAnswerOf, { kind: 'streaming', key: 'a\r\nb' }, 'not a key of an object'],
    [nameAnswerOf, { kind: 'failed' }, 'not an error'],
    [
      nameAnswerOf,
      { ...resolved, resolution: { status: 1e9, checkedAtMs: 7 } },
      'a resolution with status 1000000000',
    ],
    [
      nameAnswerOf,
      { ...resolved, resolution: { status: 200, checkedAtMs: 7 } },
      'a resolution with status 200',
    ],
    [
      nameAnswerOf,
      { ...resolved, resolution: { ...resolution, etag: 'a\nb' } },
      'etag is not a value of a header',
    ],
  ])('%o refuses %o', (parse, message, reason) => {
    expect(() => parse(message)).toThrow(
      expect.objectContaining({ code: 'BAD_REQUEST', message: reason }),
    );
  });
});

test('answers to a want: members', () => {
  expect(wantAnswerOf({ elsewhere: member })).toEqual({ kind: 'elsewhere', source: member });
  expect(wantAnswerOf({ redirect: member })).toEqual({ kind: 'redirect', owner: member });
  expect(wantAnswerOf({ passed: true })).toEqual({ kind: 'passed' });
  expect(membersOf([member])).toEqual([member]);
});

test.each([
  [
    { ...error, code: 'toString' },
    { ...error, code: 'INTERNAL' },
  ],
  [{ ...error, status: 1e9 }, error],
  [
    { ...error, message: { toString: 1 } },
    { ...error, message: 'unknown error' },
  ],
  [
    { ...error, tried: [{ toString: 1 }] },
    { ...error, tried: ['?'] },
  ],
])('an error that a peer reports, %o, is one of ours', (reported, read) => {
  expect(nameAnswerOf({ kind: 'failed', error: reported })).toEqual({
    kind: 'failed',
    error: read,
  });
});
