import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Digest, digestOf } from '../../node/content/digest.ts';
import { MemoryStore } from '../../node/store/memory-store.ts';
import type { Store } from '../../node/store/store.ts';
import { body, hashesOf, readAll } from '../contract/store.contract.ts';
import { storeFolder } from '../fixtures/store-folder.ts';

interface World {
  store: Store;
  /** undefined where nothing survives a restart. */
  restart?: () => Promise<Store>;
}

interface Model {
  readonly objects: Map<Digest, Buffer>;
  /** Bytes of each partial object, suspended after each step. */
  readonly partials: Map<string, Buffer>;
}

type Step =
  | { do: 'append'; key: string; size: number }
  | { do: 'commit'; key: string }
  | { do: 'discard'; key: string }
  | { do: 'open' | 'delete'; pick: number }
  | { do: 'restart' };

const key = fc.constantFrom('a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('append' as const),
    key,
    size: fc.integer({ min: 0, max: 200_000 }),
  }),
  fc.record({ do: fc.constant('commit' as const), key }),
  fc.record({ do: fc.constant('discard' as const), key }),
  fc.record({ do: fc.constantFrom('open' as const, 'delete' as const), pick: fc.nat(9) }),
  fc.record({ do: fc.constant('restart' as const) }),
);

async function apply(world: World, model: Model, move: Step): Promise<void> {
  if (move.do === 'restart') {
    world.store = (await world.restart?.()) ?? world.store;
  } else if ('pick' in move) {
    const digest = Array.from(model.objects.keys()).at(move.pick) ?? digestOf('none');
    if (move.do === 'delete') {
      model.objects.delete(digest);
      return await world.store.delete(digest);
    }
    const reader = await world.store.open(digest);
    const bytes = reader === undefined ? undefined : await readAll(reader, 77_777);
    expect(bytes).toEqual(model.objects.get(digest));
    if (bytes !== undefined) expect(reader?.pieceHashes).toEqual(hashesOf(bytes));
    await reader?.close();
  } else {
    await applyToPartial(world.store, model, move);
  }
}

async function applyToPartial(
  store: Store,
  model: Model,
  move: Extract<Step, { key: string }>,
): Promise<void> {
  const partial = await store.partial(move.key);
  const known = model.partials.get(move.key) ?? Buffer.alloc(0);
  expect(await partial.read(0, partial.bytes)).toEqual(known);
  model.partials.delete(move.key);
  if (move.do === 'discard') return await partial.discard();
  if (move.do === 'commit') {
    const digest = digestOf(known);
    await partial.commit({ digest, size: known.length }, hashesOf(known));
    model.objects.set(digest, known);
    return;
  }
  const more = body(move.size);
  await partial.append(more);
  model.partials.set(move.key, Buffer.concat([known, more]));
  await partial.suspend();
}

async function holds(world: World, steps: Step[]): Promise<void> {
  const model: Model = { objects: new Map(), partials: new Map() };
  for (const move of steps) {
    await apply(world, model, move);
    const listed = Array.from(world.store.list(), ({ digest }) => digest).sort();
    expect(listed).toEqual(Array.from(model.objects.keys()).sort());
    let bytes = 0;
    for (const object of model.objects.values()) bytes += object.length;
    expect([world.store.objects, world.store.bytes]).toEqual([model.objects.size, bytes]);
  }
}

const steps = fc.array(step, { maxLength: 25 });
const runs = { numRuns: 40 };

it('FileStore does what a Map would do, across restarts', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (moves) => {
      const place = await storeFolder();
      const world: World = { store: await place.open() };
      world.restart = async () => {
        await world.store.close();
        return await place.open();
      };
      await holds(world, moves).finally(place.remove);
    }),
    runs,
  );
});

it('MemoryStore does what a Map would do', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(steps, (moves) => holds({ store: new MemoryStore() }, moves)),
    runs,
  );
});
