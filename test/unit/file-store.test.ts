import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../node/platform/clock.ts';
import { silentLog } from '../../node/platform/log.ts';
import { FileStore } from '../../node/store/file-store.ts';
import { storeContract } from '../contract/store.contract.ts';

storeContract('FileStore', async ({ maxBytes = 1e9, heldElsewhere = () => 0 }) => {
  const folder = await mkdtemp(join(tmpdir(), 'store-'));
  const deps = { clock: systemClock, log: silentLog, heldElsewhere };
  let store = await FileStore.open(deps, { folder, maxBytes });
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await FileStore.open(deps, { folder, maxBytes });
      return store;
    },
    remove: async () => {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});
