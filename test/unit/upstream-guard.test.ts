import { expect, test } from 'vitest';
import { createUpstreamGuard } from '../../node/transfer/upstream/upstream-guard.ts';
import { isSpecialAddress } from '../../node/wire/addresses.ts';

const guard = createUpstreamGuard(
  { archives: () => ['archive.ubuntu.com', '10.0.0.5:8080', 'apt.internal', '[fd00::5]'] },
  { allow: ['a.corp.example:25', 'localhost:9000'] },
);

test.each([
  ['http://archive.ubuntu.com/ubuntu/'],
  ['https://ppa.launchpad.net/'],
  ['http://mirror.example:8080/'],
  ['http://10.0.0.5:8080/'],
  ['http://a.corp.example:25/'],
  ['http://localhost:9000/'],
  ['http://[fd00::5]/'],
])('%s may be fetched', (url) => {
  expect(guard.url(new URL(url))).toBeUndefined();
});

test.each([
  ['ftp://archive.ubuntu.com/'],
  ['http://10.0.0.5/'],
  ['http://10.0.0.6:8080/'],
  ['http://0x7f000001/'],
  ['http://[::1]/'],
  ['http://[::ffff:10.0.0.1]/'],
  ['http://localhost/'],
  ['http://x.localhost./'],
  ['http://169.254.169.254/latest/meta-data'],
  ['http://mirror.example:22/'],
  ['http://b.corp.example:25/'],
])('%s may not', (url) => {
  expect(guard.url(new URL(url))).toEqual(expect.any(String));
});

test('a listed host may have a private address, others not', () => {
  expect(guard.address(new URL('http://apt.internal/'), '10.0.0.9')).toBeUndefined();
  expect(guard.address(new URL('http://mirror.example/'), '10.0.0.9')).toContain('10.0.0.9');
  // Listed at another port is not listed.
  expect(guard.address(new URL('http://apt.internal:8081/'), '10.0.0.9')).toContain('10.0.0.9');
  expect(guard.address(new URL('http://mirror.example/'), '9.9.9.9')).toBeUndefined();
});

test.each([
  ['127.0.0.1', true],
  ['172.31.255.255', true],
  ['172.32.0.1', false],
  ['100.64.0.1', true],
  ['64:ff9b::a00:1', true],
  ['64:ff9b::808:808', false],
  ['2002:0a00:0001::1', true],
  ['fe80::1', true],
  ['::ffff:127.0.0.1', true],
  ['2620:2d:4000:1::16', false],
  ['not an address', true],
])('isSpecialAddress(%s) is %s', (address, special) => {
  expect(isSpecialAddress(address)).toBe(special);
});
