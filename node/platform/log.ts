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
  if (!terminal) return pino({ level, base: null }, pino.destination(2));
  const { default: pretty } = await import('pino-pretty');
  return pino(
    { level, base: null },
    pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }),
  );
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};
