// Ten pipelined objects of 100 MB to a client that stops reading: what the daemon holds in memory.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Daemon } from '../fixtures/daemon.ts';
import { benchFleet, fetchVia } from './bench-fleet.ts';
import type { Figure } from './figures.ts';
import { ObjectServer } from './object-server.ts';
import { rssMibOf } from './process-cost.ts';

const OBJECTS = 10;
const BYTES = 100_000_000;

/** Twice: first as they come in from upstream, then from the store. */
export async function stalledClient(): Promise<Figure[]> {
  const upstream = await ObjectServer.start();
  const fleet = await benchFleet({ nodes: 1, solo: true, allowHost: upstream.host });
  try {
    const [daemon] = fleet.daemons as [Daemon];
    const warm = upstream.add(20_000_000);
    for (let turn = 0; turn < 3; turn++) await fetchVia(daemon, warm.url, warm.bytes);
    const urls = Array.from({ length: OBJECTS }, () => upstream.add(BYTES).url);
    const figures: Figure[] = [];
    for (const source of ['coming in', 'stored']) {
      const growth = await stall(daemon, urls);
      figures.push({
        bench: 'stall',
        what: `${OBJECTS} of 100 MB, ${source}: RSS growth, peak`,
        value: growth,
        unit: 'MiB',
        target: { max: 32 },
      });
    }
    return figures;
  } finally {
    await fleet.close();
    await upstream.close();
  }
}

async function stall(daemon: Daemon, urls: readonly string[]): Promise<number> {
  const before = rssMibOf(daemon.pid);
  const socket = connect(daemon.aptPort, daemon.address);
  await once(socket, 'connect');
  socket.on('error', () => {});
  socket.pause();
  socket.write(urls.map((url) => `GET ${url} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
  let peak = before;
  let calm = 0;
  // Until nothing comes in any more, or it never ends because the client is waited for.
  for (let turn = 0; turn < 600 && calm < 50; turn++) {
    await sleep(100);
    peak = Math.max(peak, rssMibOf(daemon.pid));
    const { objects, flights } = await daemon.status();
    calm = objects > OBJECTS || flights.length === 0 ? calm + 1 : 0;
  }
  socket.destroy();
  return peak - before;
}
