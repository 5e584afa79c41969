// The users' own hammer: `ab` with a proxy, a connection of its own for each request.
import { type RunResult, run } from '../fixtures/process.ts';

export interface AbResult {
  /** Right answers per second; 0 when ab came to no figure. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Requests that ended, rightly or not. */
  readonly answered: number;
  /**
   * Requests without a right answer: none at all, refused, cut, of another length, not 2xx. When ab
   * gave up, only those that never ended: it does not tell how the others did.
   */
  readonly failures: number;
  /** Why not all requests were sent, or not all of them ended. */
  readonly reason?: string;
}

// ab itself gives up when nothing at all comes for 30 s.
const LIMIT_S = 90;
const KILL_MS = (LIMIT_S + 40) * 1_000;

/** Never rejects and always ends, whatever the proxy does. */
export async function ab(
  proxy: string,
  url: string,
  requests: number,
  clients: number,
): Promise<AbResult> {
  // -t would set -n to 50,000 if it stood behind it.
  const args = ['-r', `-t${LIMIT_S}`, `-n${requests}`, `-c${clients}`, '-X', proxy, url];
  return readAb(await run('ab', args, { timeoutMs: KILL_MS }), requests);
}

/** Exported for tests. */
export function readAb(
  ended: Pick<RunResult, 'code' | 'stdout' | 'stderr'>,
  requests: number,
): AbResult {
  const text = ended.stdout.toString();
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
  const complete = number(/^Complete requests:\s+(\d+)/m);
  if (ended.code !== 0 || complete === 0) return gaveUp(ended, text, requests);
  // ab counts a request for each way in which it failed, and a refused connection as a fast answer.
  const counted = number(/^Failed requests:\s+(\d+)/m) + number(/^Non-2xx responses:\s+(\d+)/m);
  const bad = Math.min(complete, counted);
  if (bad === complete) {
    return { ...noResult(requests, 'not one right answer', complete), failures: requests };
  }
  const result: AbResult = {
    rate: (number(/^Requests per second:\s+([\d.]+)/m) * (complete - bad)) / complete,
    p50Ms: number(/^\s+50%\s+(\d+)/m),
    p99Ms: number(/^\s+99%\s+(\d+)/m),
    answered: complete,
    failures: bad + requests - complete,
  };
  return complete === requests ? result : { ...result, reason: `not done after ${LIMIT_S} s` };
}

// What ended before is known from its last word, or, if it had none, from its progress.
function gaveUp({ code, stderr }: Pick<RunResult, 'code' | 'stderr'>, text: string, sent: number) {
  const lines = stderr.trim().split('\n');
  const progress = lines.findLast((line) => /^Completed \d+ requests/.test(line)) ?? '';
  const answered = Number(/(?:Total of|Completed) (\d+) request/.exec(text + progress)?.[1] ?? 0);
  const last = lines.at(-1) ?? '';
  const reason = last === '' || last === progress ? `ab ended with ${code}` : last.slice(0, 80);
  return noResult(sent, reason, answered);
}

/** A run that came to no figures. */
export function noResult(requests: number, reason: string, answered = 0): AbResult {
  const failures = requests - answered;
  return { rate: 0, p50Ms: Infinity, p99Ms: Infinity, answered, failures, reason };
}
