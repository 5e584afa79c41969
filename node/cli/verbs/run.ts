// `debherd run`: the daemon.
import { showHostPort } from '../../config/kinds.ts';
import { type Config, configFields } from '../../config/table.ts';
import { reachableHost } from '../../platform/everywhere.ts';
import type { InheritedSocket } from '../../platform/listen-fds.ts';
import type { Log } from '../../platform/log.ts';
import { runService } from '../run-service.ts';
import type { Service } from '../serve.ts';
import type { Verb } from './verb.ts';

export const run: Verb = {
  summary: 'run the apt proxy of this machine',
  fields: configFields,
  async perform({ load, sockets }) {
    const { config } = load();
    const listens = ['aptListen', 'peerListen', 'trackerListen'] as const;
    return runService((log) => startNode(config, log, sockets), { config, listens, sockets });
  },
};

async function startNode(
  config: Config,
  log: Log,
  sockets: readonly InheritedSocket[],
): Promise<Service> {
  const { startNode: start } = await import('../../node.ts');
  const node = await start(config, { log, sockets });
  const [listen] = node.aptListen;
  if (listen !== undefined) {
    // apt cannot connect to "all addresses".
    const reachable = { ...listen, host: reachableHost(listen.host) };
    process.stdout.write(`Acquire::http::Proxy "http://${showHostPort(reachable)}";\n`);
  }
  return node;
}
