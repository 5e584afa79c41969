import { expect, it } from 'vitest';
import { systemClock } from '../../node/platform/clock.ts';
import { OpenFiles } from '../../node/store/open-files.ts';
import { Partials } from '../../node/store/partials.ts';
import { PromptDisk } from '../../node/store/prompt-disk.ts';
import { storeFolder } from '../fixtures/store-folder.ts';

it('starts a partial object anew only when the one given up is gone', async () => {
  const place = await storeFolder();
  const store = await place.open();
  const half = await store.partial('half');
  await half.append(Buffer.alloc(300_000));
  await store.close();
  const nothing = async () => {};
  const write = async () => undefined;
  const files = new OpenFiles({ clock: systemClock }, { max: 1 });
  const partials = new Partials(
    {
      clock: systemClock,
      files,
      prompt: new PromptDisk({ clock: systemClock }),
      fit: nothing,
      makeRoom: nothing,
      evict: nothing,
      write,
      place: async (path) => path,
    },
    { folder: place.folder, maxBytes: 1e9 },
  );
  await partials.load();
  const order: string[] = [];
  const removed = partials.remove('half').then(() => order.push('removed'));
  const again = await partials.open('half', 0);
  order.push('opened');
  await removed;
  expect(order).toEqual(['removed', 'opened']);
  expect(again.bytes).toBe(0);
  await files.close();
  await place.remove();
});
