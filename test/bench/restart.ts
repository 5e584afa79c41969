// From kill -9 to serving, with thousands of objects in the store.
import type { Daemon } from '../fixtures/daemon.ts';
import { benchFleet } from './bench-fleet.ts';
import { type Figure, quantile } from './figures.ts';

export async function restart(options: { objects: number; times: number }): Promise<Figure[]> {
  const { objects, times } = options;
  const allowHost = 'mirror.example';
  const fleet = await benchFleet({ nodes: 1, allowHost, stored: objects });
  try {
    const [daemon] = fleet.daemons as [Daemon];
    const seconds: number[] = [];
    let kept = objects;
    for (let time = 0; time < times; time++) {
      await daemon.kill('SIGKILL');
      const begin = performance.now();
      await daemon.start();
      seconds.push((performance.now() - begin) / 1_000);
      kept = Math.min(kept, (await daemon.status()).objects);
    }
    const bench = 'restart';
    const what = `kill -9, ${objects} objects`;
    return [
      {
        bench,
        what: `${what}: until it serves, median`,
        value: quantile(seconds, 0.5),
        unit: 's',
        target: { max: 1 },
      },
      { bench, what: `${what}: slowest of ${times}`, value: Math.max(...seconds), unit: 's' },
      { bench, what: `${what}: lost`, value: objects - kept, unit: '', target: { max: 0 } },
    ];
  } finally {
    await fleet.close();
  }
}
