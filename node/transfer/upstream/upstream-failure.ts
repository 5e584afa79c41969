// What a failed attempt at an archive means: an error for apt, and whether to try again.
import { type ErrorCode, HerdError, reasonOf } from '../../errors.ts';

/** `now`: a pooled connection that the other side had just closed; `later`: after a pause. */
export type Retry = 'never' | 'now' | 'later';

export class UpstreamFailure extends Error {
  readonly retry: Retry;
  /** What to say when no attempt is left. */
  readonly error: HerdError;
  /** Upstream's own wish (Retry-After), milliseconds. */
  readonly afterMs: number;

  constructor(error: HerdError, retry: Retry, afterMs = 0) {
    super(error.message, { cause: error });
    this.retry = retry;
    this.error = error;
    this.afterMs = afterMs;
  }
}

const meanings: Readonly<Record<string, { code: ErrorCode; retry: Retry; text: string }>> = {
  EFORBIDDEN: { code: 'FORBIDDEN_HOST', retry: 'never', text: 'is refused' },
  ENOTFOUND: { code: 'UPSTREAM_UNREACHABLE', retry: 'never', text: 'has no address' },
  EAI_AGAIN: { code: 'UPSTREAM_UNREACHABLE', retry: 'later', text: 'cannot be resolved now' },
  ECONNREFUSED: { code: 'UPSTREAM_UNREACHABLE', retry: 'later', text: 'refuses the connection' },
  EHOSTUNREACH: { code: 'UPSTREAM_UNREACHABLE', retry: 'later', text: 'is not reachable' },
  ENETUNREACH: { code: 'UPSTREAM_UNREACHABLE', retry: 'later', text: 'is not reachable' },
  ETIMEDOUT: { code: 'UPSTREAM_UNREACHABLE', retry: 'later', text: 'does not accept a connection' },
  ECONNRESET: { code: 'UPSTREAM_ERROR', retry: 'now', text: 'broke the connection' },
  EPIPE: { code: 'UPSTREAM_ERROR', retry: 'now', text: 'broke the connection' },
  UND_ERR_SOCKET: { code: 'UPSTREAM_ERROR', retry: 'now', text: 'broke the connection' },
  UND_ERR_CONNECT_TIMEOUT: {
    code: 'UPSTREAM_UNREACHABLE',
    retry: 'later',
    text: 'does not accept a connection',
  },
  UND_ERR_HEADERS_TIMEOUT: { code: 'UPSTREAM_STALLED', retry: 'later', text: 'gives no answer' },
  UND_ERR_BODY_TIMEOUT: { code: 'UPSTREAM_STALLED', retry: 'later', text: 'sends no more bytes' },
};

/** The meaning of what the HTTP client threw while talking to `host`. */
export function failureOf(thrown: unknown, host: string): UpstreamFailure {
  if (thrown instanceof UpstreamFailure) return thrown;
  if (thrown instanceof HerdError) return new UpstreamFailure(thrown, 'never');
  const code = codeOf(thrown);
  const meaning = meanings[code];
  if (code === 'EFORBIDDEN') {
    return new UpstreamFailure(new HerdError('FORBIDDEN_HOST', reasonOf(thrown)), 'never');
  }
  if (meaning) {
    const message = `${host} ${meaning.text} (${code})`;
    return new UpstreamFailure(
      new HerdError(meaning.code, message, { cause: thrown }),
      meaning.retry,
    );
  }
  if (isDistrust(code)) {
    const message = `${host} shows a certificate that is not trusted here (${code})`;
    return new UpstreamFailure(
      new HerdError('UPSTREAM_ERROR', message, { cause: thrown }),
      'never',
    );
  }
  const message = `${host}: ${reasonOf(thrown)}`;
  return new UpstreamFailure(new HerdError('UPSTREAM_ERROR', message, { cause: thrown }), 'never');
}

/** Codes of X509_verify_cert(3), as node:tls gives them. */
function isDistrust(code: string): boolean {
  return /CERT|ISSUER|SIGNATURE/.test(code) && !code.startsWith('UND_ERR');
}

/** Statuses that pass by themselves (RFC 9110 15.6, RFC 6585 4). */
export function isPassingStatus(status: number): boolean {
  return status === 429 || (status >= 500 && status <= 504 && status !== 501);
}

/** Milliseconds of a Retry-After header (RFC 9110 10.2.3), 0 when there is none to understand. */
export function retryAfterMs(value: unknown, nowMs: number): number {
  if (typeof value !== 'string') return 0;
  if (/^\d{1,6}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? 0 : Math.max(0, at - nowMs);
}

function codeOf(thrown: unknown): string {
  if (thrown instanceof AggregateError && !(thrown as NodeJS.ErrnoException).code) {
    return codeOf(thrown.errors[0]);
  }
  const code = (thrown as NodeJS.ErrnoException | null)?.code;
  return typeof code === 'string' ? code : '';
}
