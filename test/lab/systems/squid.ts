// squid on one server, with collapsed forwarding and room for packages.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runOrThrow } from '../../fixtures/process.ts';
import type { LabRun, System } from '../run.ts';
import { waitForPort } from './server.ts';

export const squid: System = {
  name: 'squid',
  packages: ['squid'],
  proxy: (server) => `http://${server}:3142`,
  async start(run: LabRun) {
    const dir = join(run.dir, 'squid');
    await mkdir(join(dir, 'cache'), { recursive: true });
    const config = join(dir, 'squid.conf');
    await writeFile(config, configText(dir));
    // squid leaves root for its own user.
    await runOrThrow('chown', ['-R', 'proxy:proxy', dir]);
    const prepared = await run.server.run(['squid', '-N', '-z', '-f', config]);
    if (prepared.code !== 0) throw new Error(`squid -z: ${prepared.stderr.slice(-500)}`);
    const server = run.server.start(['squid', '-N', '-f', config], { logFile: join(dir, 'out') });
    await waitForPort(run.server, 3142);
    return { processes: [server], stop: () => server.stop('SIGTERM', 4000) };
  },
};

function configText(dir: string): string {
  return `http_port 3142
acl everyone src all
http_access allow everyone
visible_hostname cache.mirror.example
pid_filename none
access_log none
cache_log ${dir}/cache.log
cache_store_log none
coredump_dir ${dir}
cache_mem 512 MB
maximum_object_size_in_memory 8 MB
maximum_object_size 4 GB
cache_dir aufs ${dir}/cache 40000 16 256
collapsed_forwarding on
quick_abort_min -1 KB
range_offset_limit -1
max_filedescriptors 65535
shutdown_lifetime 1 seconds
refresh_pattern -i \\.deb$ 129600 100% 129600
refresh_pattern /by-hash/ 129600 100% 129600
refresh_pattern (Release|InRelease|Release\\.gpg)$ 0 0% 1 refresh-ims
refresh_pattern (Packages|Sources)(\\.[a-z0-9]+)?$ 0 0% 1 refresh-ims
refresh_pattern . 0 20% 4320
`;
}
