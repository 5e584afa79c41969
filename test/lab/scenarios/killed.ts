// Daemons that die, and come back, while the herd is on its way.
import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetHandle, LabRun, RunningSystem, Scenario } from '../run.ts';

/** The machine that fetches the most from upstream loses its power: daemon and apt are gone. */
export const ownerKilled: Scenario = {
  name: 'owner-killed',
  archive: 'package',
  work: 'update+install',
  async disturb(run, system, signal) {
    const found = await findOwner(run, system, signal);
    if (!found) return run.say('no owner in mid-file was found to be killed');
    const owner = found.node;
    owner.dead = true;
    await Promise.all([
      system.fleet?.killDaemon(owner),
      owner.client?.stop('SIGKILL'),
      run.net.setConnected(owner.host.name, false),
    ]);
    const files = `${found.flights} of the ${found.requests} files`;
    run.say(`killed ${owner.host.name} amid ${files} that it asked upstream for`);
  },
};

export const trackerKilled: Scenario = {
  name: 'tracker-killed',
  archive: 'package',
  work: 'update+install',
  async disturb(run, system, signal) {
    await pause(run.limitMs * 0.2, signal);
    if (!system.fleet || signal.aborted) return;
    await system.fleet.killTracker();
    run.say('killed the tracker');
  },
};

/** Every fourth daemon is killed and started anew in mid-install; its socket stays open. */
export const restart: Scenario = {
  name: 'restart',
  archive: 'package',
  work: 'update+install',
  wishes: { heldSockets: true },
  async disturb(run, system, signal) {
    await pause(run.limitMs * 0.3, signal);
    if (!system.fleet || signal.aborted) return;
    const some = run.nodes.filter((node) => node.index % 4 === 1);
    await Promise.all(some.map((node) => system.fleet?.killDaemon(node)));
    run.say(`killed ${some.length} daemons, which their holders start anew`);
  },
};

async function findOwner(
  run: LabRun,
  system: RunningSystem,
  signal: AbortSignal,
): ReturnType<FleetHandle['busiestOwner']> {
  await pause(run.limitMs * 0.2, signal);
  while (system.fleet && !signal.aborted) {
    const owner = await system.fleet.busiestOwner();
    if (owner) return owner;
    await pause(500, signal);
  }
  return undefined;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return sleep(ms, undefined, { signal }).catch(() => undefined);
}
