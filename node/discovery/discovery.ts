// The discovery port: who holds an object, without asking its owner.
import type { Digest } from '../content/digest.ts';

/** Where a holder's peer door is. */
export interface Holder {
  /** IPv4 or IPv6 address. */
  readonly address: string;
  readonly port: number;
}

export interface Discovery {
  /**
   * Holders as they are found, each once, without this node. Ends at the deadline, on abort, or
   * when the search is complete; never throws for want of holders.
   */
  find(
    digest: Digest,
    options: { deadlineMs: number; signal?: AbortSignal },
  ): AsyncIterable<Holder>;
  /** Queues an announcement that this node holds `digest`; sent soon, and again in a slow cycle. */
  announce(digest: Digest): void;
  /** Ends announcing it; the record ages out. */
  withdraw(digest: Digest): void;
  close(): Promise<void>;
}
