import { describe, expect, it } from 'vitest';
import { digestOf } from '../../node/content/digest.ts';
import { CYCLE_MS } from '../../node/discovery/dht-discovery.ts';
import type { Discovery } from '../../node/discovery/discovery.ts';
import { Counters } from '../../node/metrics/counters.ts';
import { AnnouncedBefore } from '../bench/announced-before.ts';
import { messagesBetween } from '../bench/idle-cost.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

/** The cycle has five of them. */
const PART = CYCLE_MS / 5;

function announcedBefore(count: number) {
  const clock = new ManualClock();
  const held = new Set<string>();
  const sent: string[] = [];
  const inner: Discovery = {
    async *find() {},
    announce(digest) {
      held.add(digest);
      sent.push(digest);
    },
    withdraw: (digest) => void held.delete(digest),
    close: async () => {},
  };
  const discovery = new AnnouncedBefore({ discovery: inner, clock, phase: 0.5 });
  const digests = Array.from({ length: count }, (_, n) => digestOf(`object ${n}`));
  for (const digest of digests) discovery.announce(digest);
  clock.advance(0);
  return { clock, discovery, digests, held, sent };
}

describe('a store that was announced before', () => {
  it('goes out evenly, once in the cycle, again and again', () => {
    const { clock, digests, sent } = announcedBefore(5);
    clock.advance(PART / 2 - 1);
    expect(sent).toEqual([]);
    clock.advance(1);
    expect(sent).toEqual(digests.slice(0, 1));
    clock.advance(4 * PART);
    expect(sent).toEqual(digests);
    clock.advance(5 * PART);
    expect(sent).toEqual([...digests, ...digests]);
  });

  it('leaves one object at a time to the cycle of the node itself', () => {
    const { clock, held } = announcedBefore(5);
    clock.advance(9 * PART);
    expect(held.size).toBe(1);
  });

  it('what is new goes out at once, what is gone no more', () => {
    const { clock, discovery, digests, sent } = announcedBefore(2);
    const news = digestOf('news');
    discovery.announce(news);
    expect(sent).toEqual([news]);
    discovery.withdraw(digests[0]!);
    clock.advance(10 * PART);
    expect(sent).not.toContain(digests[0]);
    expect(sent).toContain(digests[1]);
  });

  it('ends with its node', async () => {
    const { clock, discovery, sent } = announcedBefore(5);
    await discovery.close();
    clock.advance(10 * PART);
    expect(sent).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});

it('messages are both ways', () => {
  const counters = new Counters();
  counters.add('dht.datagrams.sent', 7);
  const before = counters.all();
  counters.add('dht.datagrams.sent', 20);
  counters.add('dht.datagrams.received', 30);
  counters.add('tracker.messages', 4);
  counters.add('peer.requests', 1);
  counters.add('dht.announced', 3);
  const expected = { datagrams: 5, tracker: 0.4, peers: 0.2, announced: 0.3 };
  expect(messagesBetween(before, counters.all(), 10)).toEqual(expected);
});
