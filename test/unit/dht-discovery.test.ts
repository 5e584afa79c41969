import { createSocket } from 'node:dgram';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { Sealer } from '../../node/discovery/sealer.ts';
import { deriveFleetKey } from '../../node/fleet/fleet-key.ts';
import type { Clock } from '../../node/platform/clock.ts';
import { systemRandom } from '../../node/platform/random.ts';
import { allHolders, holdersWhen } from '../contract/discovery.contract.ts';
import { type DhtNode, dhtFleet, dhtNode } from '../fixtures/dht.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';
import { fleetKeyFixture } from '../fixtures/tracker.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function fleet(count: number, clock?: Clock): Promise<DhtNode[]> {
  const { nodes, close } = await dhtFleet(count, clock);
  cleanups.push(close);
  return nodes;
}

async function stranger(): Promise<ReturnType<typeof createSocket>> {
  const socket = createSocket('udp4');
  cleanups.push(() => socket.close());
  await new Promise<void>((resolve) => socket.bind(0, '127.0.9.9', resolve));
  return socket;
}

const digest = digestOf('an object');
const ping = Buffer.from('d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:qe');

describe('the sealed DHT', () => {
  it('gives a stranger no answer, and is not disturbed', async () => {
    const [one, two] = (await fleet(3)) as [DhtNode, DhtNode, DhtNode];
    const socket = await stranger();
    const answers: Buffer[] = [];
    socket.on('message', (answer) => answers.push(answer));
    const { port, address } = one.self;
    const other = new Sealer(deriveFleetKey('the key of that fleet').dhtSeal, systemRandom);
    const own = new Sealer(fleetKeyFixture.dhtSeal, systemRandom);
    const damaged = own.seal(ping);
    damaged[20]! ^= 1;
    const garbage = [ping, Buffer.alloc(0), Buffer.alloc(28), Buffer.alloc(1400, 7)];
    for (const datagram of [...garbage, other.seal(ping), damaged]) {
      socket.send(datagram, port, address);
    }
    two.discovery.announce(digest);
    await holdersWhen(one.discovery, digest, 1);
    expect(one.discovery.datagrams.strangers).toBe(6);
    expect(answers).toEqual([]);
    // The same ping under the fleet's own key is answered: the silence above meant something.
    socket.send(own.seal(ping), port, address);
    await new Promise((resolve) => socket.once('message', resolve));
    expect(own.open(answers[0]!)!.toString('latin1')).toContain('1:y1:r');
  });

  it('survives sealed garbage', async () => {
    const [one, two] = (await fleet(3)) as [DhtNode, DhtNode, DhtNode];
    const socket = await stranger();
    const own = new Sealer(fleetKeyFixture.dhtSeal, systemRandom);
    const { port, address } = one.self;
    for (const text of [
      '',
      'x',
      'd1:y1:qe',
      'd1:ade1:q9:get_peers1:t2:aa1:y1:qe',
      'd1:t1:a1:y1:re',
    ]) {
      socket.send(own.seal(Buffer.from(text)), port, address);
    }
    two.discovery.announce(digest);
    expect(await holdersWhen(one.discovery, digest, 1)).toHaveLength(1);
  });

  it('keeps nodes of another key apart, also when each is told of the other', async () => {
    const one = await dhtNode(1);
    const two = await dhtNode(2, deriveFleetKey('the key of that fleet'));
    cleanups.push(() => Promise.all([one.discovery.close(), two.discovery.close()]));
    one.fleet.replace([two.self]);
    two.fleet.replace([one.self]);
    two.discovery.announce(digest);
    const controller = new AbortController();
    const { signal } = controller;
    const found = allHolders(one.discovery, digest, { deadlineMs: 60_000, signal });
    await expect.poll(() => two.discovery.datagrams.strangers).toBeGreaterThan(0);
    await expect.poll(() => one.discovery.datagrams.strangers).toBeGreaterThan(0);
    controller.abort();
    expect(await found).toEqual([]);
  });

  it('ends at the deadline while dead nodes keep it waiting, and gives what it found', async () => {
    const clock = new ManualClock();
    const [one, two, ...dead] = (await fleet(8, clock)) as [DhtNode, DhtNode, ...DhtNode[]];
    two.discovery.announce(digest);
    await holdersWhen(one.discovery, digest, 1);
    await Promise.all(dead.map(({ discovery }) => discovery.close()));
    const search = one.discovery.find(digest, { deadlineMs: 50 })[Symbol.asyncIterator]();
    expect((await search.next()).value).toMatchObject({ port: two.self.port });
    let over = false;
    const end = search.next().finally(() => {
      over = true;
    });
    clock.advance(49);
    await nextTurn();
    expect(over).toBe(false);
    clock.advance(1);
    await nextTurn();
    expect(over).toBe(true);
    expect((await end).done).toBe(true);
  });

  it('announces what it held alone as soon as somebody comes', async () => {
    const [one, two] = await Promise.all([dhtNode(1), dhtNode(2)]);
    cleanups.push(() => Promise.all([one.discovery.close(), two.discovery.close()]));
    one.discovery.announce(digest);
    one.fleet.replace([two.self]);
    two.fleet.replace([one.self]);
    expect(await holdersWhen(two.discovery, digest, 1)).toEqual([
      `${one.self.address}:${one.self.port}`,
    ]);
  });

  it('announces all it holds again in a fleet of twice the members', async () => {
    const clock = new ManualClock();
    const nodes = await fleet(12, clock);
    const members = nodes.map(({ self }) => self);
    const sent = () => {
      clock.advance(50);
      return one.told.sent;
    };
    const [one, two] = nodes as [DhtNode, DhtNode];
    one.fleet.replace(members.slice(1, 4));
    two.discovery.announce(digest);
    one.discovery.announce(digest);
    await expect.poll(sent, { interval: 5 }).toBeGreaterThanOrEqual(6);
    await holdersWhen(nodes[2]!.discovery, digest, 2);
    const before = one.told.sent;
    one.fleet.replace(members.slice(1, 6));
    for (let turn = 0; turn < 20; turn++, await nextTurn()) expect(sent()).toBe(before);
    // A lookup of eight questions, and as many announcements.
    one.fleet.replace(members.slice(1));
    await expect.poll(() => sent() - before, { interval: 5 }).toBeGreaterThanOrEqual(16);
  });

  it('drops records of a port that its node has left', async () => {
    const [one, two, three] = (await fleet(3)) as [DhtNode, DhtNode, DhtNode];
    two.discovery.announce(digest);
    three.discovery.announce(digest);
    await holdersWhen(one.discovery, digest, 2);
    one.fleet.replace([{ ...two.self, port: 9, epoch: 2 }, three.self]);
    // At its new port nobody answers, so that the search has no other end.
    const left = await holdersWhen(one.discovery, digest, 1, { deadlineMs: 100 });
    expect(left).toEqual([`${three.self.address}:${three.self.port}`]);
  });

  it('leaves members with IPv6 addresses out', async () => {
    const [one, two] = (await fleet(2)) as [DhtNode, DhtNode];
    one.fleet.replace([two.self, memberFixture(9, { address: 'fd00::9' })]);
    await allHolders(one.discovery, digest, { deadlineMs: 50 });
    expect(one.discovery.datagrams.sent).toBe(1);
    two.discovery.announce(digest);
    expect(await holdersWhen(one.discovery, digest, 1)).toHaveLength(1);
  });

  it('tells of each datagram of the fleet, but not of strangers', async () => {
    const [one, two] = (await fleet(2)) as [DhtNode, DhtNode];
    const socket = await stranger();
    socket.send(ping, one.self.port, one.self.address);
    two.discovery.announce(digest);
    await holdersWhen(one.discovery, digest, 1);
    const { sent, received, strangers } = one.discovery.datagrams;
    expect(strangers).toBe(1);
    expect(received).toBeGreaterThan(0);
    expect(one.told).toEqual({ sent, received });
  });

  it('stops announcing where enough holders are known', async () => {
    const nodes = await fleet(12);
    for (const { discovery } of nodes.slice(0, 8)) discovery.announce(digest);
    const [seeker, late] = nodes.slice(10) as [DhtNode, DhtNode];
    await holdersWhen(seeker.discovery, digest, 8);
    const sent = late.discovery.datagrams.sent;
    late.discovery.announce(digest);
    await holdersWhen(late.discovery, digest, 8);
    expect(await allHolders(seeker.discovery, digest)).toHaveLength(8);
    // Two lookups of eight questions, and no announcement.
    expect(late.discovery.datagrams.sent - sent).toBeLessThanOrEqual(16);
  });

  it('says that its port is in use', async () => {
    const { self } = (await fleet(1))[0]!;
    const { DhtDiscovery } = await import('../../node/discovery/dht-discovery.ts');
    const again = await dhtNode(5);
    cleanups.push(() => again.discovery.close());
    const { systemClock: clock } = await import('../../node/platform/clock.ts');
    const { silentLog: log } = await import('../../node/platform/log.ts');
    const deps = { clock, random: systemRandom, log, fleet: again.fleet };
    const options = { host: self.address, port: self.port, key: fleetKeyFixture };
    await expect(DhtDiscovery.open(deps, options)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
