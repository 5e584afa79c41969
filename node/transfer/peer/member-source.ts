// A member as a source of bytes: what it has of an object, or of a file that is coming in there.
import type { Call } from '../../metrics/ways.ts';
import type { PeerAddress, Peers } from '../peers.ts';
import type { PieceRange, Source, SourceStream, Wanted } from '../source.ts';

export class MemberSource implements Source {
  readonly origin: { readonly kind: 'member'; readonly peer: PeerAddress };
  readonly supports: { readonly resume: boolean };
  readonly #key: string | undefined;
  readonly #peers: Pick<Peers, 'object'>;

  /**
   * `key`: what it is called there, where that is not what is wanted. It may be another version
   * then, and is given from its start.
   */
  constructor(
    deps: { readonly peers: Pick<Peers, 'object'> },
    peer: PeerAddress,
    { key }: { readonly key?: string } = {},
  ) {
    this.#peers = deps.peers;
    this.#key = key;
    this.supports = { resume: key === undefined };
    this.origin = { kind: 'member', peer };
  }

  open({ key }: Wanted, range: PieceRange, call: Call): Promise<SourceStream | undefined> {
    const wanted = this.supports.resume ? range : { ...range, from: 0 };
    return this.#peers.object(this.origin.peer, this.#key ?? key, wanted, call);
  }
}
