// What brings the bytes of one flight: as flights, and those who give them on, see it.
import type { Origin } from '../transfer/source.ts';

export interface Feeder {
  /** The present source. */
  readonly origin: Origin | undefined;
  /** The present one's, or the last one's. */
  readonly lastKind: Origin['kind'];
  /** Where its bytes are found wrong: ids of the members that may be why. */
  readonly suspects: ReadonlySet<string>;
  /** The id of the request that it began for. */
  readonly way: string | undefined;
  /** This node is the one that fetches the object for the others. */
  readonly leading: boolean;
  /** This node has let the next in rank fetch the object. */
  readonly passedOn: boolean;
  /** It comes from a member through a narrow link: who waits for it does better elsewhere. */
  readonly narrow: boolean;
  /** Since the head of the chain of relays was last known to be at work, ms. */
  readonly rootAgeMs: number;
  /** Resolves when the first source is found, or there is none. */
  sourced(): Promise<void>;
  /**
   * Makes this node the head: others ask it as the owner. `takeover`: the owner did not answer.
   * `unable`: members that could not reach upstream. Without takeover, a node that is being fed
   * well stays where it is and just passes on.
   */
  lead(takeover: boolean, unable: readonly string[]): void;
  /** Lets the next in rank fetch it, from what is here on; not what nobody else would fetch. */
  passOn(): void;
  /** Nobody waits for it any more. */
  stop(): void;
  /** Ends when the flight is whole or every way failed. Never rejects. */
  run(): Promise<void>;
}
