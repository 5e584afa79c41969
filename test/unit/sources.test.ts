import { describe, expect, it } from 'vitest';
import { hostsOf, parseSources } from '../../node/apt/sources.ts';

describe('one-line sources', () => {
  it('reads what apt reads', () => {
    const sources = parseSources(
      'sources.list',
      [
        '# deb http://comment.example/ x main',
        'deb http://archive.ubuntu.com/ubuntu noble main universe # why',
        'deb-src\thttp://Archive.Ubuntu.com:80/ubuntu/ noble main',
        'deb [arch=amd64,arm64 signed-by=/a.gpg] http://HTTPS///ppa.launchpad.net/x noble main\r',
        'deb https://me:secret@mirror.example:8443/flat ./',
        'deb http://mirror.example/deb binary/',
        'deb cdrom:[Debian 12]/ bookworm main',
        'deb file:/srv/x ./',
        'deb mirror+http://mirror.example/list noble main',
        'deb http://[broken noble main',
        'deb http://nosuite.example/',
        'rpm http://mirror.example/ x',
      ].join('\n'),
    );
    expect(sources.map(({ uri }) => uri)).toEqual([
      'http://archive.ubuntu.com/ubuntu/',
      'http://archive.ubuntu.com/ubuntu/',
      'https://ppa.launchpad.net/x/',
      'https://mirror.example:8443/flat/',
      'http://mirror.example/deb/',
    ]);
    expect([...hostsOf(sources)]).toEqual([
      'archive.ubuntu.com',
      'ppa.launchpad.net',
      'mirror.example:8443',
      'mirror.example',
    ]);
  });
});

describe('deb822 sources', () => {
  it('reads what apt reads', () => {
    const text = [
      '# a comment',
      'Types: deb deb-src',
      'URIs: http://archive.ubuntu.com/ubuntu',
      ' http://mirror.example/ubuntu/',
      '# in between',
      'suites: noble',
      '#Was: jammy',
      '  noble-updates',
      'Components: main',
      'Signed-By:',
      ' -----BEGIN PGP PUBLIC KEY BLOCK-----',
      ' .',
      ' URIs: http://not.example/',
      '',
      'Types: deb',
      'URIs: http://off.example/',
      'Suites: x',
      'Enabled: no',
      '',
      ' \t',
      'Types: deb',
      'URIs: file:/srv https://ppa.launchpad.net/a',
      'Suites: /',
      'Architectures: amd64',
    ].join('\n');
    for (const form of [text, text.replaceAll('\n', '\r\n')]) {
      const sources = parseSources('x.sources', form);
      expect(sources.map(({ uri }) => uri)).toEqual([
        'http://archive.ubuntu.com/ubuntu/',
        'http://mirror.example/ubuntu/',
        'https://ppa.launchpad.net/a/',
      ]);
    }
  });
});
