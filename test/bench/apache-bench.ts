// The users' own hammer: `ab` with a proxy, a connection of its own for each request.
import { run } from '../fixtures/process.ts';

export interface AbResult {
  /** Requests per second; 0 when the run did not come to its end. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Requests without a right answer: refused, cut, of another length, or not 2xx. */
  readonly failures: number;
  /** Why it did not come to its end. */
  readonly reason?: string;
}

const LIMIT_MS = 90_000;

export async function ab(
  proxy: string,
  url: string,
  requests: number,
  clients: number,
): Promise<AbResult> {
  const args = ['-q', '-r', `-n${requests}`, `-c${clients}`, '-X', proxy, url];
  const { code, stdout, stderr } = await run('ab', args, { timeoutMs: LIMIT_MS });
  const text = stdout.toString();
  const number = (pattern: RegExp) => Number(pattern.exec(text)?.[1] ?? 0);
  const complete = number(/^Complete requests:\s+(\d+)/m);
  if (code !== 0 || complete === 0) {
    const reason = stderr.trim().split('\n').at(-1)?.slice(0, 80) ?? `ab ended with ${code}`;
    return { rate: 0, p50Ms: Infinity, p99Ms: Infinity, failures: requests, reason };
  }
  const bad = number(/^Failed requests:\s+(\d+)/m) + number(/^Non-2xx responses:\s+(\d+)/m);
  return {
    rate: number(/^Requests per second:\s+([\d.]+)/m),
    p50Ms: number(/^\s+50%\s+(\d+)/m),
    p99Ms: number(/^\s+99%\s+(\d+)/m),
    failures: bad + requests - complete,
  };
}
