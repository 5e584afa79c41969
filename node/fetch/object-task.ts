// What the parts that bring one object share: what is wanted, and what is known of how it goes.
import type { Member } from '../../tracker/protocol.ts';
import type { Digest } from '../content/digest.ts';
import type { Discovery } from '../discovery/discovery.ts';
import type { Flight } from '../flight/flight.ts';
import type { Trace } from '../metrics/ways.ts';
import type { Log } from '../platform/log.ts';
import type { Swarms } from '../swarm/swarm.ts';
import { MemberSource } from '../transfer/peer/member-source.ts';
import type { PeerAddress, PieceStream } from '../transfer/peers.ts';
import type { FeederOptions } from './feeder-options.ts';
import type { Feeding, FeedingDeps } from './feeding.ts';
import type { Outcome } from './source-faults.ts';

export interface ObjectFeederDeps extends FeedingDeps {
  /** Absent in a fleet of one. */
  readonly discovery: Discovery | undefined;
  readonly swarms: Swarms;
  readonly log: Log;
}

/** A member that said a moment ago that it has the object. */
export interface Hint {
  readonly holder: Member;
  /** The object's bytes, if they came along. */
  readonly stream?: PieceStream;
}

export interface FeedOrder {
  readonly digest: Digest;
  readonly url: string;
  /** Host of `url`, for the ranking. */
  readonly host: string;
  readonly hint?: Hint;
  /** Ids of members that gave of a wrong object a moment ago: the owner knows better ones. */
  readonly suspects?: Iterable<string>;
  readonly trace?: Trace | undefined;
}

export interface ObjectTask {
  readonly deps: ObjectFeederDeps;
  readonly options: FeederOptions;
  readonly flight: Flight;
  readonly order: FeedOrder;
  readonly feeding: Feeding;
}

/** Takes what a member has, as far as it is wanted. */
export async function takeFrom(
  { deps, feeding }: ObjectTask,
  peer: PeerAddress,
  terms: { readonly to?: number; readonly owner?: Member } = {},
): Promise<Outcome> {
  const { peers } = deps;
  return peers ? await feeding.take(new MemberSource({ peers }, peer), terms) : 'ended';
}
