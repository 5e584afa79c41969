import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { MiB } from '../../node/limits.ts';
import { Budget } from '../../node/store/budget.ts';
import type { IndexEntry } from '../../node/store/object-index.ts';
import { ObjectTable } from '../../node/store/object-table.ts';
import type { StoreEvents } from '../../node/store/store.ts';
import { ManualClock } from '../fixtures/manual-clock.ts';

const nothing = () => {};

/** A table of objects without files; those of `sizes` are there, the longest unused first. */
async function tableOf(sizes: number[], clock: ManualClock, maxBytes: number) {
  const entries = sizes.map((size, at): [string, IndexEntry] => {
    const digest = `object ${at}`;
    const use = { modified: undefined, lastUsed: at };
    return [digest, { digest, size, ...use, settled: true, heldElsewhere: false }];
  });
  const files = {
    names: async () => entries.map(([digest]) => digest),
    size: async () => undefined,
    path: (digest: string) => digest,
    place: async () => {},
    write: async () => false,
    remove: async () => {},
  };
  const events = new EventEmitter<StoreEvents>();
  const index = { put: nothing, remove: nothing };
  const trust = { written: nothing, forget: nothing };
  const deps = { clock, files, index, trust, events, hot: { delete: nothing } };
  const objects = new ObjectTable(
    { ...deps, heldElsewhere: () => false, oversizeCame: nothing },
    { maxBytes },
  );
  await objects.load(new Map(entries), true);
  return { objects, events };
}

/** A budget of 100 bytes; `claimedBytes` are claimed by partial ones, of which `half` is kept. */
async function budgetOf(sizes: number[], claimedBytes = 0, half = 0) {
  const clock = new ManualClock();
  const maxBytes = 100;
  const { objects, events } = await tableOf(sizes, clock, maxBytes);
  const gone: string[] = [];
  events.on('removed', ({ digest }) => gone.push(digest));
  const kept = new Map(half > 0 ? [['half', { bytes: half, lastUsed: 9 }]] : []);
  const remove = async (key: string) => {
    gone.push(key);
  };
  const partials = { claimedBytes, kept: () => kept, remove };
  const inBackground = (work: () => Promise<void>) => void work();
  const deps = { clock, objects, partials, inBackground };
  const budget = new Budget(deps, { folder: '/', maxBytes, minFreeBytes: 0 });
  return { budget, gone, clock, objects };
}

it('gives up what is over the budget, halves first, and no more', async () => {
  const { budget, gone } = await budgetOf([20, 30, 40], 25, 5);
  await budget.fit();
  expect(gone).toEqual(['half', 'object 0']);
  const full = await budgetOf([60, 40]);
  await full.budget.fit();
  expect(full.gone).toEqual([]);
});

it('makes room for growth only where it was not reserved', async () => {
  const { budget, gone } = await budgetOf([30, 30], 40);
  await budget.makeRoom({ bytes: 10, reserved: 40 }, 30);
  expect(gone).toEqual([]);
  await budget.makeRoom({ bytes: 10, reserved: 40 }, 31);
  expect(gone).toEqual(['object 0']);
  const over = await budgetOf([30, 30], 45);
  await over.budget.makeRoom({ bytes: 10, reserved: 40 }, 1);
  expect(over.gone).toEqual(['object 0']);
});

it('gives up nothing for what can never fit', async () => {
  const { budget, gone } = await budgetOf([50, 50, 500]);
  await budget.makeRoom({ bytes: 90, reserved: 0 }, 11);
  await budget.fit();
  expect(gone).toEqual([]);
});

it('gives up what can never fit when the disk is full', async () => {
  const { budget, gone } = await budgetOf([50, 50, 17 * MiB]);
  await budget.diskWasFull(1);
  expect(gone).toEqual(['object 2']);
});

it('gives up a part of a small store when the disk is full, or what is needed', async () => {
  const { budget, gone } = await budgetOf([10, 10, 10, 10, 10, 10, 10, 10, 10]);
  await budget.diskWasFull(1);
  expect(gone).toEqual(['object 0', 'object 1']);
  await budget.diskWasFull(25);
  expect(gone.length).toBe(5);
});

it('lets a reader finish what can never fit', async () => {
  const { budget, gone, clock, objects } = await budgetOf([50, 500]);
  const read = objects.get('object 1')!;
  objects.pin(read);
  budget.dropOversizeLater();
  clock.advance(60_000);
  expect(gone).toEqual([]);
  objects.unpin(read);
  clock.advance(59_999);
  expect(gone).toEqual([]);
  clock.advance(1);
  expect(gone).toEqual(['object 1']);
  budget.dropOversizeLater();
  budget.close();
  expect(clock.pending).toBe(0);
  budget.dropOversizeLater();
  expect(clock.pending).toBe(0);
});
