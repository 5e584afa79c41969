// How many files and sockets this process may have open: RLIMIT_NOFILE (getrlimit(2)). Node has
// raised the soft limit to the hard one by then.
import { readFileSync } from 'node:fs';

/** As /proc/self/limits (proc(5)) says it; Infinity where it does not. */
export function openFilesMax(text = readLimits()): number {
  const limit = /^Max open files\s+(\d+)/m.exec(text)?.[1];
  return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return '';
  }
}
