// What the cache servers have in common.
import type { Host } from '../host.ts';
import { waitFor } from '../wait.ts';

/** Resolves when something answers HTTP on the port, with whatever status. */
export function waitForPort(host: Host, port: number): Promise<void> {
  const url = `http://${host.address}:${port}/`;
  return waitFor(`port ${port} of ${host.name}`, async () => {
    return (await host.run(['curl', '-s', '-o', '/dev/null', '--max-time', '5', url])).code === 0;
  });
}
