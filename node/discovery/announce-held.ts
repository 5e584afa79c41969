// Store events drive announcing: whoever stores or removes an object need not think of it.
import type { Store } from '../store/store.ts';
import type { Discovery } from './discovery.ts';

/** What comes into the store is announced, what leaves it no more. */
export function announceHeld(store: Store, discovery: Discovery): void {
  store.on('added', ({ digest }) => discovery.announce(digest));
  store.on('removed', ({ digest }) => discovery.withdraw(digest));
  for (const { digest } of store.list()) discovery.announce(digest);
}
