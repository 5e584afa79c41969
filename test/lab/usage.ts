// What a process and its children have cost, from proc(5).
import { readFileSync } from 'node:fs';

export interface Usage {
  /** User and system time; ended children that were waited for are included. */
  readonly cpuSeconds: number;
  /** Sum of VmHWM over the processes alive now. */
  readonly rssMax: number;
}

/** Linux's USER_HZ on every architecture that Debian has. */
const ticksPerSecond = 100;

export function usageOf(pid: number): Usage {
  let cpuSeconds = 0;
  let rssMax = 0;
  for (const each of treeOf(pid)) {
    const stat = read(`/proc/${each}/stat`);
    // Fields after the name, which may hold spaces: utime is the 12th, then stime, cutime, cstime.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    cpuSeconds += ticks / ticksPerSecond || 0;
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(read(`/proc/${each}/status`))?.[1];
    rssMax += Number(kib ?? 0) * 1024;
  }
  return { cpuSeconds, rssMax };
}

/** `pid` and its living descendants. */
export function treeOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean);
  return [pid, ...children.flatMap((child) => treeOf(Number(child)))];
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
