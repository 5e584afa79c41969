// Failures that a person can mend when a daemon starts, each told in one line.

import type { Listen } from '../config/kinds.ts';
import { showHostPort } from '../config/kinds.ts';
import { ConfigError } from '../config/sources.ts';
import { HerdError } from '../errors.ts';

/** The part of the configuration that start-up failures are explained with. */
export interface Places {
  readonly state?: string;
  readonly fleetKeyFile?: string | undefined;
  /** Key and place of each listening socket. */
  readonly listens: readonly (readonly [key: string, listen: Listen])[];
}

interface SystemError extends Error {
  readonly code?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly path?: string;
}

/** One line that names the thing and how to mend it; `undefined` for what nobody foresaw. */
export function explainStartFailure(thrown: unknown, places: Places): string | undefined {
  for (const error of chainOf(thrown)) {
    const line = explain(error, places);
    if (line !== undefined) return line.replaceAll('\n', ' ');
  }
  return undefined;
}

/** The error, then its causes and parts: wrappers of databases and servers hide the reason. */
function* chainOf(thrown: unknown, depth = 0): Generator<SystemError> {
  if (!(thrown instanceof Error) || depth > 8) return;
  yield thrown;
  if (thrown instanceof AggregateError) {
    for (const part of thrown.errors) yield* chainOf(part, depth + 1);
  }
  yield* chainOf(thrown.cause, depth + 1);
}

function explain(error: SystemError, places: Places): string | undefined {
  if (error instanceof ConfigError || error instanceof HerdError) return error.message;
  if (error.code === 'LEVEL_LOCKED') {
    const folder = places.state ?? 'the state folder';
    return `${folder} (state) is in use by another debherd; stop it or set another state`;
  }
  if (error.syscall === 'listen' || error.syscall === 'bind') return explainListen(error, places);
  if (error.path !== undefined && error.code !== undefined) return explainPath(error, places);
  return undefined;
}

function explainListen({ code, address = '', port = 0 }: SystemError, places: Places): string {
  const where = showHostPort({ host: address, port });
  const candidates = places.listens.filter(([, listen]) => listen.port === port);
  const exact = candidates.find(([, listen]) => listen.host === address);
  const key = (exact ?? candidates[0])?.[0] ?? 'apt-listen';
  const start = `cannot listen on ${where} (${key})`;
  switch (code) {
    case 'EADDRINUSE':
      return `${start}: another program uses it; stop that one or set ${key} to a free port`;
    case 'EACCES':
      return `${start}: not permitted; set ${key} to a port above 1023 or run as root`;
    case 'EADDRNOTAVAIL':
      return `${start}: this machine has no such address; set ${key} to one of its addresses`;
    default:
      return `${start}: ${code}; set ${key} to an address and port of this machine`;
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ENOENT: 'it does not exist',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a file is in its place',
  EEXIST: 'a file is in its place',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
};

function explainPath({ code = '', path = '' }: SystemError, places: Places): string | undefined {
  const reason = reasons[code];
  if (reason === undefined) return undefined;
  if (path === places.fleetKeyFile) {
    const mend = 'set fleet-key-file to a file that this user may read';
    return `cannot read the fleet key ${path} (fleet-key-file): ${reason}; ${mend}`;
  }
  const { state } = places;
  if (
    state !== undefined &&
    (path === state || `${path}/`.startsWith(`${state}/`) || state.startsWith(`${path}/`))
  ) {
    const mend = 'set state to a folder that this user may write';
    return `cannot use the state folder ${state} (state): ${path}: ${reason}; ${mend}`;
  }
  return `cannot use ${path}: ${reason}`;
}
