import { MemoryStore } from '../../node/store/memory-store.ts';
import { storeContract } from '../contract/store.contract.ts';

storeContract('MemoryStore', async ({ maxBytes = 1e9, heldElsewhere = () => false }) => {
  const store = new MemoryStore({ heldElsewhere }, { maxBytes });
  return { store, remove: () => store.close() };
});
