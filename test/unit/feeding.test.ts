// The loop that bytes come in through: what it asks a source for, how it leaves it, what it tells.
import { expect, test } from 'vitest';
import { digestOf, sha256 } from '../../node/content/digest.ts';
import { PiecePool } from '../../node/content/piece-pool.ts';
import { HerdError } from '../../node/errors.ts';
import { feederDefaults } from '../../node/fetch/feeder-options.ts';
import { Feeding } from '../../node/fetch/feeding.ts';
import { Refusals } from '../../node/fetch/refusals.ts';
import { StaticFleet } from '../../node/fleet/static-fleet.ts';
import { Flight } from '../../node/flight/flight.ts';
import { PIECE_BYTES } from '../../node/limits.ts';
import { LinkRates } from '../../node/links/link-rates.ts';
import { Counters } from '../../node/metrics/counters.ts';
import type { Step } from '../../node/metrics/ways.ts';
import { systemClock as clock } from '../../node/platform/clock.ts';
import { noGarbage as garbage } from '../../node/platform/garbage.ts';
import { silentLog as log } from '../../node/platform/log.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import { Swarms } from '../../node/swarm/swarm.ts';
import type { Origin, PieceRange, Source, SourceFrame } from '../../node/transfer/source.ts';
import { body } from '../contract/store.contract.ts';
import { FakeUpstream } from '../fixtures/fake-upstream.ts';
import { memberFixture } from '../fixtures/members.ts';

const url = 'http://archive.ubuntu.com/ubuntu/pool/a.deb';
const bytes = body(PIECE_BYTES * 2.5);
const member = { kind: 'member', peer: memberFixture(1) } as const;
const cut = new HerdError('SOURCE_FAILED', 'host1: cut');
const local = { kind: 'local' } as const;

/** A flight for `bytes`, whose digest may be unknown, and what feeds it. */
async function fixture({ known = true } = {}) {
  const deps = { clock, log, pool: new PiecePool(), store: new MemoryStore() };
  const digest = digestOf(bytes);
  const flight = new Flight(deps, { key: digest, url, ...(known ? { digest } : {}) });
  await flight.open();
  const steps: Step[] = [];
  const feeding = new Feeding(
    {
      ...{ ...deps, garbage, counters: new Counters(), peers: undefined },
      fleet: new StaticFleet({ clock }, { self: memberFixture(0), others: [member.peer] }),
      upstream: new FakeUpstream(() => ({ body: bytes, size: bytes.length })),
      links: new LinkRates({ clock }),
      swarms: new Swarms({ clock }),
      refusals: new Refusals({ clock }, { windowMs: 30_000 }),
    },
    flight,
    {
      stallMs: feederDefaults.stallMs,
      trace: { id: 'abc-1', note: (step) => void steps.push(step) },
    },
  );
  return { flight, feeding, steps };
}

const meta: SourceFrame = { type: 'meta', meta: { size: bytes.length } };
const end: SourceFrame = { type: 'end', pieces: 3 };
const piece = (index: number): SourceFrame => {
  const part = bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES);
  return { type: 'piece', index, hash: sha256(part), bytes: part };
};

/** Gives `frames`, throws an error among them, and waits behind the last one, unless it is over. */
function sourceOf(
  origin: Origin,
  frames: readonly (SourceFrame | Error | 'over')[],
  resume = true,
) {
  const seen = { ranges: [] as PieceRange[], aborted: [] as boolean[], left: [] as string[] };
  const source: Source = {
    origin,
    supports: { resume },
    async open(_wanted, range, { signal }) {
      seen.ranges.push(range);
      const queue = [...frames];
      seen.aborted.push(signal.aborted);
      const aborted = new Promise<never>((_, reject) =>
        signal.addEventListener('abort', () => reject(cut), { once: true }),
      );
      aborted.catch(() => {});
      return {
        async next() {
          const frame = queue.shift();
          if (frame === 'over') return undefined;
          if (frame instanceof Error) throw frame;
          return frame ?? (await aborted);
        },
        cancel: () => void seen.left.push('cancel'),
        done: () => void seen.left.push('done'),
      };
    },
  };
  return { source, seen };
}

test('goes on with the next source where the last one stopped, and tells of each', async () => {
  const { feeding, flight, steps } = await fixture();
  const broken = sourceOf(member, [meta, piece(0), cut]);
  const rest = sourceOf(local, [meta, piece(1), piece(2), end]);
  expect(await feeding.take(broken.source)).toBe('broken');
  expect(await feeding.take(rest.source)).toBe('ended');
  expect(flight.state).toBe('whole');
  expect([broken.seen, rest.seen]).toEqual([
    { ranges: [{ from: 0 }], aborted: [false], left: ['cancel'] },
    { ranges: [{ from: 1 }], aborted: [false], left: ['done'] },
  ]);
  const gave = (from: string, more: object) => ({ what: 'source', from, ...more });
  expect(steps).toMatchObject([
    gave('host1', { kind: 'member', bytes: PIECE_BYTES, end: 'host1: cut' }),
    gave('this node', { kind: 'local', bytes: 1.5 * PIECE_BYTES, end: 'whole' }),
  ]);
});

test('a source that cannot resume is asked for all, and compared with what is here', async () => {
  const { feeding, flight } = await fixture({ known: false });
  await feeding.take(sourceOf(member, [meta, piece(0), cut]).source);
  const same = sourceOf(local, [meta, piece(0), piece(1), piece(2), end], false);
  await feeding.take(same.source);
  expect(same.seen.ranges).toEqual([{ from: 0 }]);
  expect([flight.state, flight.digest]).toEqual(['whole', digestOf(bytes)]);
});

test('another version of the file ends the flight', async () => {
  const { feeding, flight, steps } = await fixture({ known: false });
  await feeding.take(sourceOf(member, [meta, piece(0), cut]).source);
  const other = { ...piece(1), index: 0 } as SourceFrame;
  expect(await feeding.take(sourceOf(local, [meta, other], false).source)).toBe('broken');
  expect(flight.error?.code).toBe('CONTENT_MISMATCH');
  expect(steps.at(-1)).toMatchObject({ bytes: 0, end: 'the file changed while it was read' });
});

test('a member that failed, or has given what it had, is not asked again', async () => {
  for (const last of [cut, 'over'] as const) {
    const { feeding, flight } = await fixture();
    const { source, seen } = sourceOf(member, [meta, piece(0), last]);
    await feeding.take(source);
    await feeding.take(source);
    expect(flight.pieces).toBe(1);
    expect(seen.ranges).toHaveLength(1);
  }
});

test('a source that does not have it is told of to people, and is not asked again', async () => {
  const { feeding } = await fixture();
  const { source, seen } = sourceOf(member, []);
  const none: Source = { ...source, open: (...args) => source.open(...args).then(() => undefined) };
  expect(await feeding.take(none)).toBe('ended');
  expect(await feeding.take(none)).toBe('ended');
  expect(seen.ranges).toHaveLength(1);
  expect(feeding.faults.tried).toEqual(['host1: does not have it']);
});

test('stopped while it waits: it leaves the source, blames nobody, takes no other', async () => {
  const { feeding, flight, steps } = await fixture();
  const { source, seen } = sourceOf(member, [meta, piece(0)]);
  const taking = feeding.take(source);
  await expect.poll(() => flight.pieces, { interval: 2 }).toBe(1);
  expect(feeding.origin).toEqual(member);
  feeding.stop();
  expect(await taking).toBe('ended');
  expect(seen.left).toEqual(['cancel']);
  expect(steps).toMatchObject([{ bytes: PIECE_BYTES, end: 'left' }]);
  expect([feeding.faults.tried, feeding.origin]).toEqual([[], undefined]);
  const { source: next, seen: asked } = sourceOf(local, [meta, piece(1), piece(2), end]);
  await feeding.take(next);
  expect(flight.pieces).toBe(1);
  expect(asked).toEqual({ ranges: [{ from: 1 }], aborted: [true], left: ['cancel'] });
});

test('a relay that waits too long for somebody else is given up', async () => {
  const { feeding, steps } = await fixture();
  const patience: SourceFrame = { type: 'wait', ageMs: feederDefaults.stallMs };
  const late: SourceFrame = { type: 'wait', ageMs: feederDefaults.stallMs + 1 };
  const { source } = sourceOf(member, [meta, piece(0), patience, piece(1), late, piece(2), end]);
  expect(await feeding.take(source)).toBe('broken');
  const reason = 'host1 waits for somebody who is gone';
  expect(steps).toMatchObject([{ bytes: 2 * PIECE_BYTES, end: reason }]);
});

test('upstream is at work from the request on', async () => {
  const { feeding, flight, steps } = await fixture();
  const taking = feeding.takeUpstream(true);
  expect(feeding.origin).toEqual({ kind: 'upstream', elected: true });
  await feeding.sourced();
  await taking;
  expect(flight.state).toBe('whole');
  expect(steps.at(-1)).toMatchObject({ from: 'upstream', bytes: bytes.length, end: 'whole' });
});
