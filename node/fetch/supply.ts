// An object opened for reading, wherever it is here: whole in the store, or on its way in.
import type { ObjectReader } from '../store/store.ts';
import type { Boarding } from './flights.ts';

export type Supply =
  | { readonly kind: 'stored'; readonly object: ObjectReader }
  | { readonly kind: 'flight'; readonly boarding: Boarding };

export function letGo(supply: Supply): void {
  if (supply.kind === 'stored') void supply.object.close();
  else supply.boarding.leave();
}
