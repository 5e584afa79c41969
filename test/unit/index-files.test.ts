import { describe, expect, it } from 'vitest';
import { IndexScanner, scanIndex } from '../../node/apt/packages-file.ts';
import { clearsignedBody, filesOfRelease, parseRelease } from '../../node/apt/release-file.ts';

const a = 'a'.repeat(64);
const b = 'b'.repeat(64);

function scan(text: string) {
  const scanner = new IndexScanner();
  const files = [...scanner.push(Buffer.from(text, 'latin1')), ...scanner.end()];
  return { files, skipped: scanner.skipped };
}

const packages = [
  'Package: hello',
  `SHA256: ${a}`,
  'Homepage: a',
  ' Filename: not/this',
  'Filename: ./pool/h/hello_1%3a2+b_all.deb',
  'Size: 12',
  '',
  'Package: world',
  'filename: world.deb',
  'SIZE:\t3 ',
  'Sha256:',
  ` ${b.toUpperCase()}`,
].join('\n');
const expected = [
  { path: 'pool/h/hello_1%3a2+b_all.deb', digest: a, size: 12 },
  { path: 'world.deb', digest: b, size: 3 },
];

describe('IndexScanner', () => {
  it('reads Packages, with any line ends', () => {
    for (const text of [packages, `${packages}\n\n\n`, packages.replaceAll('\n', '\r\n')]) {
      expect(scan(text)).toEqual({ files: expected, skipped: 0 });
    }
  });

  it('does not mind where chunks end', async () => {
    const bytes = Buffer.from(packages);
    for (let size = 1; size < bytes.length; size++) {
      const chunks = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      const files = [];
      for await (const batch of scanIndex(chunks)) files.push(...batch);
      expect(files).toEqual(expected);
    }
  });

  it('reads Sources', () => {
    const text = [
      'Package: hello',
      'Files:',
      ` ${'c'.repeat(32)} 7 hello.dsc`,
      'Checksums-Sha256:',
      ` ${a} 7 hello.dsc`,
      ` ${b} 8 hello.tar.xz`,
      ` ${b} 8 ../hello.tar.xz`,
      'Directory: pool/h/',
      '',
    ].join('\n');
    expect(scan(text)).toEqual({
      files: [
        { path: 'pool/h/hello.dsc', digest: a, size: 7 },
        { path: 'pool/h/hello.tar.xz', digest: b, size: 8 },
      ],
      skipped: 1,
    });
  });

  it.each([
    ['no SHA256', 'Filename: x.deb\nSize: 1\n'],
    ['a short SHA256', `Filename: x.deb\nSize: 1\nSHA256: ${a.slice(1)}\n`],
    ['no size', `Filename: x.deb\nSHA256: ${a}\n`],
    ['a bad size', `Filename: x.deb\nSHA256: ${a}\nSize: -1\n`],
    ['a huge size', `Filename: x.deb\nSHA256: ${a}\nSize: 99999999999999999999\n`],
    ['a path that leads out', `Filename: a/../../x.deb\nSHA256: ${a}\nSize: 1\n`],
    ['a folded path', `Filename: x\n y\nSHA256: ${a}\nSize: 1\n`],
    ['an absolute path', `Filename: /x.deb\nSHA256: ${a}\nSize: 1\n`],
  ])('counts and skips a stanza with %s', (_, text) => {
    expect(scan(text)).toEqual({ files: [], skipped: 1 });
  });

  it('passes over a line without end in bounded memory', () => {
    const scanner = new IndexScanner();
    scanner.push(Buffer.from('Package: y\nFilename: '));
    for (let i = 0; i < 64; i++) scanner.push(Buffer.alloc(8192, 0x61));
    const files = scanner.push(
      Buffer.from(`\nSize: 2\nSHA256: ${a}\n\nFilename: x\nSize: 1\nSHA256: ${a}\n\n`),
    );
    expect(files).toEqual([{ path: 'x', digest: a, size: 1 }]);
  });
});

const release = `Origin: Ubuntu
Label: Ubuntu
Suite: noble
Codename: noble
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 +0000
Acquire-By-Hash: yes
MD5Sum:
 ${'1'.repeat(32)} 5 main/binary-amd64/Packages
 ${'2'.repeat(32)} 6 main/binary-amd64/Packages.gz
SHA256:
 ${a}   5 main/binary-amd64/Packages
 ${b.toUpperCase()} 7 main/binary-amd64/Packages.gz
 ${b} 7 ../etc/passwd
 ${b.slice(1)} 7 x
 ${b} y
`;

describe('parseRelease', () => {
  it('reads the lists of hashes', () => {
    const parsed = parseRelease(Buffer.from(release));
    expect(parsed).toEqual({
      entries: [
        {
          path: 'main/binary-amd64/Packages',
          digest: a,
          size: 5,
          hashes: { MD5Sum: '1'.repeat(32) },
        },
        { path: 'main/binary-amd64/Packages.gz', digest: b, size: 7, hashes: {} },
      ],
      skipped: 3,
    });
    expect([...filesOfRelease(parsed)].map(({ path }) => path)).toEqual([
      'main/binary-amd64/Packages',
      `main/binary-amd64/by-hash/SHA256/${a}`,
      `main/binary-amd64/by-hash/MD5Sum/${'1'.repeat(32)}`,
      'main/binary-amd64/Packages.gz',
      `main/binary-amd64/by-hash/SHA256/${b}`,
    ]);
  });

  it('reads the first stanza, after any blank lines', () => {
    const text = `\n \n# why\nSuite: noble\nSHA256:\n ${a} 5 x\n\nSHA256:\n ${b} 5 x\n`;
    const entries = [{ path: 'x', digest: a, size: 5, hashes: {} }];
    expect(parseRelease(Buffer.from(text))).toEqual({ entries, skipped: 0 });
  });

  it('reads the signed text only', () => {
    const forged = `SHA256:\n ${b} 5 forged`;
    const signed = [
      forged,
      '-----BEGIN PGP SIGNED MESSAGE-----',
      'Hash: SHA256',
      '',
      `${release}- -dash: x`,
      '-----BEGIN PGP SIGNATURE-----',
      '',
      forged,
      '-----END PGP SIGNATURE-----',
      forged,
    ].join('\n');
    expect(clearsignedBody(signed)).toBe(`${release}-dash: x\n`);
    for (const form of [signed, signed.replaceAll('\n', '\r\n')]) {
      expect(parseRelease(Buffer.from(form))).toEqual(parseRelease(Buffer.from(release)));
    }
  });

  it.each([
    '',
    '\n\n',
    '<html>',
    'Date: yesterday\nSHA256: x\n',
    '-----BEGIN PGP SIGNED MESSAGE-----',
  ])('finds nothing in %j', (text) => {
    expect(parseRelease(Buffer.from(text))).toEqual({ entries: [], skipped: 0 });
  });
});
