// What processes cost, from proc(5).
import { readFileSync } from 'node:fs';

/** Linux's USER_HZ on every architecture that Debian has. */
const TICK_MS = 10;

/** User and system time of all `pids` so far, in ms. */
export function cpuMsOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // Fields after the name, which may hold spaces: utime is the 12th, stime the 13th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MS;
}

/** Resident MiB now. */
export function rssMibOf(pid: number): number {
  return statusNumber(pid, 'VmRSS') / 1024;
}

/** How often the main thread went to sleep so far: each end of a sleep is some event. */
export function sleepsOf(pid: number): number {
  return statusNumber(pid, 'voluntary_ctxt_switches');
}

function statusNumber(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
}
