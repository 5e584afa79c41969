// Who else has what comes in: the store gives up last what nobody else may have.
import type { Digest } from '../content/digest.ts';
import type { Flights } from './flights.ts';

/**
 * Whether another member gives this node the object whose flight lands now; that one holds it. What
 * upstream gives is the copy to keep, also when others get it from here: if each of two holders
 * counted on the other, both would give it up.
 */
export function cameFromMember(flights: Pick<Flights, 'report'>, digest: Digest): boolean {
  const flight = flights.report().find(({ object }) => object === digest);
  return flight?.sourceKind === 'member';
}
