// How long a feeder waits for whom, in ms.

export interface FeederOptions {
  /** How long an owner looks for holders in the DHT before it goes upstream, at least. */
  readonly lookupMs: number;
  /** So much longer for each MiB, since a holder not found costs the WAN all of them ... */
  readonly lookupMsPerMib: number;
  /** ... and so long at most: by then a node that is gone has not answered. */
  readonly lookupMaxMs: number;
  /** An owner that is silent for so long: the DHT is asked as well. */
  readonly ownerPatienceMs: number;
  /** Time for those who have a part of an orphaned object to come forward. */
  readonly gatherMs: number;
  /** How long an owner that somebody calls gone may take to say that it is not. */
  readonly opinionMs: number;
  /** A chain of relays whose head was not heard of for so long is given up. */
  readonly stallMs: number;
}

export const feederDefaults: FeederOptions = {
  lookupMs: 18,
  lookupMsPerMib: 20,
  lookupMaxMs: 1000,
  ownerPatienceMs: 3_000,
  gatherMs: 60,
  opinionMs: 6_000,
  stallMs: 12_000,
};
