import type { AddressInfo } from 'node:net';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { createPeerDoor } from '../../node/doors/peer/peer-door.ts';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { HttpPeers } from '../../node/transfer/peer/http-peers.ts';
import { pskCredentials } from '../../node/wire/tls-psk.ts';
import { peersContract } from '../contract/peers.contract.ts';
import { MemoryPeers } from '../fixtures/memory-peers.ts';
import { waysFixture } from '../fixtures/ways.ts';

const clock = systemClock;
const TICK_MS = 30;

peersContract('HttpPeers', async (behind, { patienceMs }) => {
  const credentials = pskCredentials(Buffer.alloc(32, 7));
  const told: (string | undefined)[] = [];
  const door = createPeerDoor(
    { ...behind, pool: new PiecePool(), ways: waysFixture(), clock, log: silentLog },
    { credentials },
  );
  door.addHook('onRequest', async ({ headers }) => {
    told.push(headers['debherd-request'] as string | undefined);
  });
  await door.listen({ host: '127.0.0.1', port: 0 });
  const ticks = patienceMs / TICK_MS;
  const peers = new HttpPeers(
    { pool: new PiecePool(), clock, credentials },
    { tickMs: TICK_MS, answerTicks: ticks, silenceTicks: ticks },
  );
  const { port } = door.server.address() as AddressInfo;
  const remove = async () => {
    await peers.close();
    await door.close();
  };
  return { peers, peer: { address: '127.0.0.1', port }, told: () => told, remove };
});

peersContract('MemoryPeers', async (behind, { patienceMs }) => {
  const told: (string | undefined)[] = [];
  const before = async (id?: string) => void told.push(id);
  const peer = { address: '127.0.0.1', port: 3143 };
  const door = { ...behind, ways: waysFixture(), before, pipes: new Set() };
  const net = new Map([[`${peer.address}:${peer.port}`, door]]);
  const options = { answerTimeoutMs: patienceMs, silenceMs: patienceMs };
  const peers = new MemoryPeers({ clock, net: net as never }, options);
  return { peers, peer, told: () => told, remove: () => peers.close() };
});
