// Structured logs. Everyone else sees only the Log interface.
import { pino } from 'pino';

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

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Readable lines on a terminal, JSON lines elsewhere; both on standard error. */
export async function createLog(level: LogLevel, terminal: boolean): Promise<Log> {
  const options = { level, base: null };
  if (!terminal) {
    const lines: Log = pino(options, pino.destination(2));
    return lines;
  }
  const { default: pretty } = await import('pino-pretty');
  const stream = pretty({ destination: 2, sync: true, ignore: 'pid,hostname' });
  const readable: Log = pino(options, stream);
  return readable;
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
