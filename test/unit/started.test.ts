import { expect, it } from 'vitest';
import { Started } from '../../node/platform/started.ts';

it('ends its parts in the reverse order, once, and all of them where some fail', async () => {
  const ended: string[] = [];
  const part = (name: string, failure?: Error) => ({
    close: async () => {
      ended.push(name);
      if (failure) throw failure;
    },
  });
  const started = new Started();
  started.add(part('store'));
  started.add(part('fleet', new Error('second')));
  started.add(part('flights', new Error('first')));
  started.add(part('door'));
  await expect(started.close()).rejects.toThrow('first');
  expect(ended).toEqual(['door', 'flights', 'fleet', 'store']);
  await started.close();
  expect(ended.length).toBe(4);
});
