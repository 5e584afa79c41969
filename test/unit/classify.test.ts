import { describe, expect, it } from 'vitest';
import { archiveBaseOf, classify, packageIndexOf } from '../../node/apt/classify.ts';

const archive = 'http://archive.ubuntu.com/ubuntu';
const sha = 'a'.repeat(64);

describe('classify', () => {
  it.each([
    ['dists/noble/InRelease', 'release'],
    ['dists/noble/Release', 'release'],
    ['dists/noble/Release.gpg', 'release'],
    ['dists/noble/main/binary-amd64/Release', 'release'],
    ['dists/noble/main/binary-amd64/Packages', 'index'],
    ['dists/noble/main/binary-amd64/Packages.xz', 'index'],
    ['dists/noble/main/source/Sources.zst', 'index'],
    ['dists/noble/main/i18n/Translation-pt_BR.bz2', 'index'],
    ['dists/noble/main/Contents-amd64.gz', 'index'],
    ['dists/noble/main/dep11/Components-amd64.yml.gz', 'index'],
    ['dists/noble/main/dep11/icons-64x64@2.tar.gz', 'index'],
    ['dists/noble/main/dep11/by-anything', 'index'],
    ['dists/noble/main/cnf/Commands-amd64.xz', 'index'],
    ['dists/noble/main/binary-amd64/Packages.diff/Index', 'pdiff'],
    ['dists/noble/main/binary-amd64/Packages.diff/T-2026-01-01-0200.gz', 'pdiff'],
    ['dists/noble/main/installer-amd64/current/images/netboot/netboot.tar.gz', 'other'],
    ['dists/noble/something/new', 'other'],
    ['pool/main/h/hello/hello_2.10-3_amd64.deb', 'package'],
    ['pool/main/h/hello/hello_2.10-3_amd64.udeb', 'package'],
    ['pool/main/h/hello/hello-dbgsym_2.10-3_amd64.ddeb', 'package'],
    ['pool/main/h/hello/hello_2.10-3.dsc', 'source'],
    ['pool/main/h/hello/hello_2.10.orig.tar.gz', 'source'],
    ['pool/main/h/hello/hello_2.10.orig.tar.gz.asc', 'source'],
    ['pool/main/h/hello/hello_2.10-3.debian.tar.xz', 'source'],
    ['pool/main/h/hello/hello_2.10-3.diff.gz', 'source'],
    ['Packages.gz', 'index'],
    ['hello.deb', 'package'],
    ['', 'other'],
    ['project/trace', 'other'],
  ])('%s: %s', (path, kind) => {
    expect(classify(`${archive}/${path}`).kind).toBe(kind);
    expect(classify(`${archive}/${path}?token=/x.deb`).kind).toBe(kind);
  });

  it('reads by-hash paths', () => {
    const folder = `${archive}/dists/noble/main/binary-amd64/by-hash`;
    expect(classify(`${folder}/SHA256/${sha.toUpperCase()}`)).toEqual({
      kind: 'by-hash',
      algorithm: 'SHA256',
      hash: sha,
    });
    expect(classify(`${folder}/MD5Sum/${sha.slice(32)}`)).toMatchObject({ algorithm: 'MD5Sum' });
    expect(classify(`${folder}/SHA256/${sha.slice(1)}`)).toEqual({ kind: 'other' });
    expect(classify(`${folder}/SHA3/${sha}`)).toEqual({ kind: 'other' });
  });
});

it.each([
  [`${archive}/dists/noble/main/binary-amd64/Packages`, `${archive}/`],
  [`${archive}/dists/a/dists/b/Release`, `${archive}/dists/a/`],
  [`${archive}/pool/main/h/hello/hello.deb`, `${archive}/`],
  ['http://m.example/pool/x/pool/x.deb', 'http://m.example/'],
  ['http://m.example/flat/Packages.gz', 'http://m.example/flat/'],
  [`http://m.example/flat/by-hash/SHA256/${sha}`, 'http://m.example/flat/'],
  ['http://m.example/', 'http://m.example/'],
  ['http://dists/pool.deb', 'http://dists/'],
])('archiveBaseOf(%s) is %s', (url, base) => expect(archiveBaseOf(url)).toBe(base));

it.each([
  ['dists/noble/main/binary-amd64/Packages.xz', 'dists/noble/main/binary-amd64/Packages'],
  [`dists/noble/main/binary-amd64/by-hash/SHA256/${sha}`, 'dists/noble/main/binary-amd64/Packages'],
  [`dists/noble/main/source/by-hash/SHA256/${sha}`, 'dists/noble/main/source/Sources'],
  [`dists/noble/main/i18n/by-hash/SHA256/${sha}`, undefined],
  ['dists/noble/main/Contents-amd64.gz', undefined],
  ['flat/Sources', 'flat/Sources'],
  [`flat/by-hash/SHA256/${sha}`, 'flat/Packages'],
  ['pool/hello.deb', undefined],
])('packageIndexOf(%s) is %s', (path, index) => {
  const expected = index === undefined ? undefined : `${archive}/${index}`;
  expect(packageIndexOf(`${archive}/${path}`)).toBe(expected);
});
