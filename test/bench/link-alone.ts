// The link by itself: the same bytes from a process that does nothing but send them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { fetchVia } from './bench-fleet.ts';

const sender = fileURLToPath(new URL('./plain-sender.ts', import.meta.url));

export interface LinkAlone {
  /** One GET of so many bytes: milliseconds until all are here. */
  fetch(bytes: number): Promise<number>;
  close(): Promise<void>;
}

export async function linkAlone(): Promise<LinkAlone> {
  const child = spawn(process.execPath, [sender], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit').then(([code]) => new Error(`plain-sender ended: ${code}`));
  const line = await Promise.race([once(child.stdout, 'data'), exited]);
  if (line instanceof Error) throw line;
  const from = { address: '127.0.0.1', aptPort: Number(line[0]) };
  return {
    fetch: async (bytes) => (await fetchVia(from, `/${bytes}`, bytes)).wholeMs,
    close: async () => {
      child.kill();
      await exited;
    },
  };
}
