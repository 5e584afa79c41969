// The fleet of a node without a key: nobody else, and nobody is ever heard of.
import type { Member } from '../../tracker/protocol.ts';
import type { Clock } from '../platform/clock.ts';
import { StaticFleet } from './static-fleet.ts';

export class SoloFleet extends StaticFleet {
  override readonly solo = true;

  constructor(deps: { readonly clock: Clock }, options: { readonly self: Member }) {
    super(deps, { self: options.self });
  }
}
