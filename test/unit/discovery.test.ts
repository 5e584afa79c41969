import { HolderMap, MemoryDiscovery } from '../../node/discovery/memory-discovery.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { discoveryContract } from '../contract/discovery.contract.ts';
import { dhtFleet } from '../fixtures/dht.ts';
import { memberFixture } from '../fixtures/members.ts';

discoveryContract('DhtDiscovery', dhtFleet);

discoveryContract('MemoryDiscovery', async (count) => {
  const holders = new HolderMap();
  const nodes = Array.from({ length: count }, (_, n) => {
    const self = memberFixture(n + 1);
    const discovery = new MemoryDiscovery({ clock: systemClock, holders }, { self });
    return { discovery, self };
  });
  const close = async () => {
    await Promise.all(nodes.map(({ discovery }) => discovery.close()));
  };
  return { nodes, close };
});
