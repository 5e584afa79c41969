import { describe, expect, test } from 'vitest';
import { StaticFleet } from '../../node/fleet/static-fleet.ts';
import { seededRandom } from '../../node/platform/random.ts';
import { KeptConnections } from '../../node/transfer/peer/kept-connections.ts';
import type { PeerAddress } from '../../node/transfer/peers.ts';
import type { Member } from '../../tracker/protocol.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';
import { memberFixture } from '../fixtures/members.ts';

const membersOf = (count: number, from = 1) =>
  Array.from({ length: count }, (_, n) => memberFixture(from + n));
const namesOf = (members: readonly PeerAddress[]) => members.map(({ name }) => name).sort();

function fixture(others: readonly Member[], seed = 1, openFilesMax = 65_536) {
  const clock = new ManualClock();
  const fleet = new StaticFleet({ clock }, { self: memberFixture(0), others });
  const greeted: PeerAddress[] = [];
  const connected = new Set<string>();
  let kept: readonly PeerAddress[] = [];
  const peers = {
    keep(list: readonly PeerAddress[]) {
      kept = list;
    },
    connected: ({ address }: PeerAddress) => connected.has(address),
    greet: async (peer: PeerAddress) => {
      greeted.push(peer);
      connected.add(peer.address);
    },
  };
  const deps = { clock, random: seededRandom(seed), fleet, peers };
  const keeper = new KeptConnections(deps, { openFilesMax });
  return { clock, fleet, greeted, connected, keeper, kept: () => kept };
}

describe('kept connections', () => {
  test('to every other member, one after the other, in no order that all share', () => {
    const others = membersOf(20);
    const { clock, greeted, kept } = fixture(others);
    clock.advance(2_050);
    expect(greeted.length).toBeLessThan(12);
    clock.advance(2_000);
    expect(namesOf(greeted)).toEqual(namesOf(others));
    expect(namesOf(kept())).toEqual(namesOf(others));
    const another = fixture(others, 2);
    another.clock.advance(5_000);
    expect(another.greeted).toHaveLength(20);
    expect(another.greeted).not.toEqual(greeted);
  });

  test('to newcomers soon, to those that broke within a minute, to who left no more', () => {
    const others = membersOf(3);
    const { clock, fleet, greeted, connected, kept } = fixture(others);
    clock.advance(5_000);
    greeted.length = 0;
    fleet.replace(membersOf(4).slice(1));
    clock.advance(2_000);
    expect(namesOf(greeted)).toEqual(['host4']);
    expect(namesOf(kept())).toEqual(['host2', 'host3', 'host4']);
    connected.delete(others[1]!.address);
    clock.advance(62_000);
    expect(namesOf(greeted)).toEqual(['host2', 'host4']);
  });

  test('also while the list keeps changing', () => {
    const { clock, fleet, greeted } = fixture(membersOf(3));
    for (let n = 0; n < 10; n++) {
      fleet.replace(membersOf(3));
      clock.advance(500);
    }
    expect(greeted).toHaveLength(3);
  });

  test('to none that cannot be reached, and to sixty-four of a large fleet', () => {
    const { clock, fleet, greeted, kept } = fixture(membersOf(200));
    fleet.blame(fleet.members()[5]!, 'unreachable', 'gone');
    clock.advance(20_000);
    expect(kept()).toHaveLength(64);
    expect(greeted.length).toBeGreaterThanOrEqual(63);
    expect(greeted.map(({ name }) => name)).not.toContain(fleet.members()[5]!.name);
    expect(new Set(namesOf(greeted)).size).toBe(greeted.length);
  });

  test('to few where few files may be open', () => {
    const { clock, greeted, kept } = fixture(membersOf(60), 1, 256);
    clock.advance(20_000);
    expect([greeted.length, kept().length]).toEqual([32, 32]);
  });

  test('to nobody after the end', async () => {
    const { clock, greeted, keeper } = fixture(membersOf(5));
    await keeper.close();
    clock.advance(10_000);
    expect([greeted.length, clock.pending]).toEqual([0, 0]);
  });
});
