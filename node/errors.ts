// One table of the errors that debherd gives, each with its HTTP status towards apt.

const table = {
  BAD_REQUEST: 400,
  FORBIDDEN_HOST: 403,
  UPSTREAM_DENIED: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  CONTENT_MISMATCH: 502,
  UPSTREAM_ERROR: 502,
  UPSTREAM_UNREACHABLE: 502,
  UPSTREAM_STALLED: 504,
  SOURCE_FAILED: 502,
  SOURCE_STALLED: 504,
  NO_SOURCE: 502,
  PASSED_ON: 503,
  SHUTTING_DOWN: 503,
  INTERNAL: 500,
} as const;

export type ErrorCode = keyof typeof table;

/** What a request that cannot be served ends with; `message` is one line for a person. */
export class HerdError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  /** What was tried before giving up, one line each. */
  readonly tried: readonly string[];

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; status?: number; tried?: readonly string[] } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HerdError';
    this.code = code;
    this.status = options.status ?? table[code];
    this.tried = options.tried ?? [];
  }

  toJSON(): ErrorRecord {
    return { code: this.code, status: this.status, message: this.message, tried: this.tried };
  }

  /** `error` itself where it is one, else INTERNAL. */
  static of(error: unknown): HerdError {
    if (error instanceof HerdError) return error;
    return new HerdError('INTERNAL', reasonOf(error), { cause: error });
  }

  /**
   * The reverse of `toJSON`, for errors that a peer reports: unknown codes become INTERNAL, and
   * what is not of its type is left out.
   */
  static from(record: { readonly [key in keyof ErrorRecord]?: unknown }): HerdError {
    const { code, status, message, tried } = record;
    return new HerdError(isCode(code) ? code : 'INTERNAL', textOr(message, 'unknown error'), {
      ...(isErrorStatus(status) ? { status } : {}),
      tried: Array.isArray(tried) ? tried.map((line) => textOr(line, '?')) : [],
    });
  }
}

function isCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(table, value);
}

function isErrorStatus(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 400 && Number(value) <= 599;
}

function textOr(value: unknown, instead: string): string {
  return typeof value === 'string' ? value : instead;
}

export interface ErrorRecord {
  code: ErrorCode;
  status: number;
  message: string;
  tried: readonly string[];
}

/** One line for a log or a person, whatever was thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof HerdError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  return code && !error.message.includes(code) ? `${error.message} (${code})` : error.message;
}
