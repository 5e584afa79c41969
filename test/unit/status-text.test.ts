// What `debherd status` prints of a report.
import { expect, it } from 'vitest';
import { redrawn, statusText } from '../../node/cli/status-text.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { sampleReport } from '../support/sample-report.ts';

it('fits on a screen', () => {
  const { blames, volatile } = sampleReport();
  const report = sampleReport({
    blames: blames.map((blame) => ({ ...blame, detail: 'piece 214 differs' })),
    volatile: volatile.map((name) => ({ ...name, url: 'http://archive.ubuntu.com/InRelease' })),
  });
  expect(statusText(report)).toMatchInlineSnapshot(`
    "node         ws-ilm-07, debherd 0.1.0, member, up 3.2 days, 104.3 MB of memory
    members      60, with versions 0.0.9 and 0.1.0
    trackers     1 of 2 connected; not https://render-head.studio.example:3144
    store        11.4 GB of 20.0 GB (57 %) in 4,812 objects
    to apt       13.0 GB, 18,342 requests, 2 errors
                 from peers               8.7 GB  66 %
                 from upstream          186.0 MB   1 %
                 from store               3.9 GB  29 %
                 from shared transfers  220.0 MB   1 %
    upstream     194.1 MB, 311 requests, WAN amplification 1.00
    transfers    blender-data_4.0.2+dfsg-1ubuntu8_all.deb  render-12         68 %  10.1 MB/s
                 libnvidia-compute_570.181_amd64.deb       upstream           7 %   4.6 MB/s
                 unlisted.tar.gz                           no source yet  0 bytes  0 bytes/s
    avoided      render-17 for 9 min more: corrupt, piece 214 differs
    stale names  http://archive.ubuntu.com/InRelease, 1 h old
    "
  `);
});

it('is short for a machine alone', () => {
  const nothing = { flights: [], blames: [], volatile: [], trackers: [], bytes: 0, objects: 0 };
  const counters = new Counters().all();
  const text = statusText(
    sampleReport({ ...nothing, counters, wanAmplification: null, members: [], role: 'solo' }),
  );
  expect(text).toMatchInlineSnapshot(`
    "node         ws-ilm-07, debherd 0.1.0, solo, up 3.2 days, 104.3 MB of memory
    members      0
    store        0 bytes of 20.0 GB (0 %) in 0 objects
    to apt       0 bytes, 0 requests, 0 errors
    upstream     0 bytes, 0 requests
    transfers    none
    "
  `);
});

it.each([
  [1, 999, '0 %'],
  [999, 1, '99 %'],
  [1000, 0, '100 %'],
])('%i bytes from peers and %i from upstream are %s from peers', (peer, upstream, share) => {
  const counters = { ...new Counters().all(), 'apt.bytes.peer': peer };
  const text = statusText(
    sampleReport({ counters: { ...counters, 'apt.bytes.upstream': upstream } }),
  );
  expect(/from peers .* (\d+ %)/.exec(text)?.[1]).toBe(share);
});

it('gives a terminal nothing of other machines that it would obey', () => {
  const [first] = sampleReport().flights;
  const flights = [{ ...first!, source: 'x\x1b]0;y\x07\x9b2J' }];
  expect(statusText(sampleReport({ name: 'a\nb', flights }))).not.toMatch(/[^\n\P{Cc}]/u);
});

it('a redraw covers what stood there, and scrolls nothing', () => {
  expect(redrawn('abcdef\nx\ny\nz\n', { columns: 4, rows: 3 })).toBe(
    '\x1b[Habcd\x1b[K\nx\x1b[K\x1b[J',
  );
});
