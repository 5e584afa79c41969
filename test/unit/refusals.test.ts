import { expect, test } from 'vitest';
import { HerdError } from '../../node/errors.ts';
import { Refusals } from '../../node/fetch/refusals.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const url = 'http://archive.ubuntu.com/ubuntu/dists/noble/main/binary-amd64/Packages.xz';
const old = { url, key: 'a'.repeat(64) };
const now = { url, key: 'b'.repeat(64) };
const missing = new HerdError('NOT_FOUND', 'upstream answered 404', { status: 404 });
const wrong = new HerdError('CONTENT_MISMATCH', 'the bytes have another SHA-256');

function fixture() {
  const clock = new ManualClock();
  return { clock, refusals: new Refusals({ clock }, { windowMs: 30_000 }) };
}

test('what is not there holds for the window, whatever was wanted of the URL', () => {
  const { clock, refusals } = fixture();
  refusals.note(old, missing);
  clock.advance(29_999);
  expect([refusals.of(old), refusals.of(now)]).toEqual([missing, missing]);
  clock.advance(1);
  expect(refusals.of(old)).toBeUndefined();
});

test('wrong bytes are tried once more, and say nothing of another object at the URL', () => {
  const { clock, refusals } = fixture();
  refusals.note(old, wrong);
  expect(refusals.of(old)).toBeUndefined();
  clock.advance(20_000);
  refusals.note(old, wrong);
  clock.advance(20_000);
  expect([refusals.of(old), refusals.of(now)]).toEqual([wrong, undefined]);
});

test('what passes by itself is not remembered', () => {
  const { refusals } = fixture();
  for (const code of ['UPSTREAM_UNREACHABLE', 'UPSTREAM_STALLED', 'UPSTREAM_ERROR'] as const) {
    refusals.note(old, new HerdError(code, 'later'));
  }
  expect(refusals.of(old)).toBeUndefined();
});

test('the oldest give way', () => {
  const { refusals } = fixture();
  for (let n = 0; n <= 2_000; n++) refusals.note({ url: `${url}?${n}`, key: '' }, missing);
  const known = [0, 1, 2_000].map((n) => refusals.of({ url: `${url}?${n}`, key: '' }));
  expect(known).toEqual([undefined, missing, missing]);
});
