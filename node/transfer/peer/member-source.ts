// A member as a source of bytes: what it has of an object, or of a file that is coming in there.
import type { Call } from '../../metrics/ways.ts';
import type { PeerAddress, Peers } from '../peers.ts';
import type { PieceRange, Source, SourceStream, Wanted } from '../source.ts';

export class MemberSource implements Source {
  readonly origin: { readonly kind: 'member'; readonly peer: PeerAddress };
  readonly supports = { resume: true };
  readonly #peers: Pick<Peers, 'object'>;

  constructor(deps: { readonly peers: Pick<Peers, 'object'> }, peer: PeerAddress) {
    this.#peers = deps.peers;
    this.origin = { kind: 'member', peer };
  }

  open({ key }: Wanted, range: PieceRange, call: Call): Promise<SourceStream | undefined> {
    return this.#peers.object(this.origin.peer, key, range, call);
  }
}
