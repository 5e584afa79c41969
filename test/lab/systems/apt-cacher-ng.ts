// apt-cacher-ng on one server, with the configuration that its package brings.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { LabRun, System } from '../run.ts';
import { waitForPort } from './server.ts';

export const aptCacherNg: System = {
  name: 'apt-cacher-ng',
  packages: ['apt-cacher-ng'],
  proxy: (server) => `http://${server}:3142`,
  async start(run: LabRun) {
    const dir = join(run.dir, 'apt-cacher-ng');
    for (const name of ['cache', 'log']) await mkdir(join(dir, name), { recursive: true });
    const places = {
      CacheDir: join(dir, 'cache'),
      LogDir: join(dir, 'log'),
      PidFile: join(dir, 'pid'),
      SocketPath: join(dir, 'socket'),
      ForeGround: '1',
    };
    const settings = Object.entries(places).map(([key, value]) => `${key}=${value}`);
    const command = ['apt-cacher-ng', '-c', '/etc/apt-cacher-ng', ...settings];
    const server = run.server.start(command, { logFile: join(dir, 'out') });
    await waitForPort(run.server, 3142);
    return { processes: [server], stop: () => server.stop() };
  },
};
