// Structured logs. Everyone else sees only the Log interface.
import { type DestinationStream, type Logger, pino } from 'pino';

type Fields = Record<string, unknown>;

/** Fields first, then a plain sentence: `log.warn({ member, digest }, 'source stalled')`. */
export interface Log {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
  /** A log that adds `fields` to each line. */
  child(fields: Fields): Log;
}

// Characters of lines that are kept for a reader that stands still.
const maxUnread = 1_000_000;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Readable lines on a terminal, JSON lines elsewhere; both on standard error. */
export async function createLog(level: LogLevel, terminal: boolean): Promise<Log> {
  return adapt(pino({ level, base: null }, await destination(terminal)));
}

async function destination(terminal: boolean): Promise<DestinationStream> {
  if (!terminal) return unwaited();
  const { default: pretty } = await import('pino-pretty');
  return pretty({ destination: 2, sync: true, ignore: 'pid,hostname' });
}

// A line that nobody takes is lost: the daemon neither waits for a reader that stands still nor
// ends with one that went away. At the end of the process pino's asynchronous stream would try a
// closed pipe for ever.
function unwaited(): DestinationStream {
  const retryEAGAIN = () => false;
  const stream = pino.destination({ dest: 2, sync: true, maxLength: maxUnread, retryEAGAIN });
  stream.on('error', () => {});
  return stream;
}

// Pino's own type has a callable for every property name, `then` included.
function adapt(logger: Logger): Log {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    child: (fields) => adapt(logger.child(fields)),
  };
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
