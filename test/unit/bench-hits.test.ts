import { describe, expect, it } from 'vitest';
import { type AbResult, noResult, readAb } from '../bench/apache-bench.ts';
import { figuresOf } from '../bench/cached-hits.ts';

const report = (complete: number, failed: number, more = '') => `
Concurrency Level:      550
Complete requests:      ${complete}
Failed requests:        ${failed}
${more}Requests per second:    9000.50 [#/sec] (mean)

Percentage of the requests served within a certain time (ms)
  50%     42
  99%    131
 100%    240 (longest request)
`;
const read = (out: string, code = 0, stderr = '') =>
  readAb({ code, stdout: Buffer.from(out), stderr }, 25_000);

describe('what ab says', () => {
  it('a run to its end', () => {
    const whole = { rate: 9000.5, p50Ms: 42, p99Ms: 131, answered: 25_000, failures: 0 };
    expect(read(report(25_000, 0))).toEqual(whole);
  });

  it('wrong answers are not part of the rate', () => {
    const result = read(report(25_000, 5_000, 'Non-2xx responses:      7500\n'));
    expect(result).toMatchObject({ rate: 4500.25, failures: 12_500 });
  });

  it('a refused connection is not a fast answer, though ab counts it twice', () => {
    const result = read(report(25_000, 37_500));
    const reason = 'not one right answer';
    expect(result).toMatchObject({ rate: 0, answered: 25_000, failures: 25_000, reason });
  });

  it('the time was over', () => {
    const result = read(report(20_000, 10));
    expect(result).toMatchObject({ answered: 20_000, failures: 5_010 });
    expect(result.reason).toContain('not done after');
  });

  it('ab gave up on a proxy that stalled, with a last word', () => {
    const reason = 'apr_pollset_poll: The timeout specified has expired (70007)';
    const stderr = `Completed 20000 requests\nCompleted 22500 requests\n${reason}\n`;
    const result = read('This is ApacheBench\nTotal of 24231 requests completed\n', 119, stderr);
    expect(result).toMatchObject({ rate: 0, answered: 24_231, failures: 769, reason });
  });

  it('ab was killed, without one', () => {
    const stderr = 'Completed 2500 requests\nCompleted 5000 requests\nended by SIGKILL';
    const reason = 'ended by SIGKILL';
    expect(read('', -1, stderr)).toMatchObject({ answered: 5_000, failures: 20_000, reason });
    expect(read('', 22, '')).toMatchObject({ answered: 0, reason: 'ab ended with 22' });
  });
});

describe('figures of cached hits', () => {
  const good: AbResult = { rate: 8_000, p50Ms: 1, p99Ms: 2, answered: 100, failures: 0 };
  const figures = figuresOf(
    420,
    new Map([
      ['nginx', [good, good]],
      ['apt-cacher-ng', [noResult(100, 'stalled', 97)]],
      ['debherd', [{ ...good, rate: 6_000 }]],
    ]),
    100,
  );
  const figure = (what: string) => figures.find((each) => each.what === `420 bytes, ${what}`);

  it('a proxy that stalled has no rate, but a reason and a count', () => {
    const note = 'stalled; 97 of 100 ended';
    expect(figure('apt-cacher-ng: rate')).toMatchObject({ value: null, note });
    expect(figure('apt-cacher-ng: p99')).toMatchObject({ value: null });
    expect(figure('apt-cacher-ng: not a whole 200, of 100')).toMatchObject({ value: 3 });
    expect(figure('apt-cacher-ng: over nginx')).toMatchObject({ value: null });
  });

  it('the others have all of theirs', () => {
    expect(figure('nginx: rate')).toMatchObject({ value: 8_000 });
    expect(figure('nginx: not a whole 200, of 200')).toMatchObject({ value: 0 });
    expect(figure('debherd: over nginx')).toMatchObject({ value: 0.75, target: { min: 0.5 } });
  });
});
