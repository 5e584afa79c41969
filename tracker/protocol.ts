// What nodes and trackers say to each other: JSON over HTTP/1.1 behind TLS-PSK.

/** One live node of the fleet, as it describes itself. */
export interface Member {
  /** 40 hexadecimal characters, random, kept in the node's state folder; also its DHT node id. */
  readonly id: string;
  /** Host name, for people. */
  readonly name: string;
  /** IPv4 or IPv6 address that other members reach; the tracker fills in an empty one. */
  readonly address: string;
  /** TCP port for peers, UDP port for the DHT. */
  readonly port: number;
  /** debherd version, for people. */
  readonly version: string;
  readonly protocol: number;
  /** False: this node never goes upstream for others and is not ranked as an owner. */
  readonly upstream: boolean;
  /** Upstream hosts (`host` or `host:port`) in this machine's own apt sources, sorted. */
  readonly archives: readonly string[];
  /** Grows with each start of the daemon, so that a restart is seen as one. */
  readonly epoch: number;
}

/** What a member reports besides itself, for the fleet page. */
export interface Vitals {
  /** 1-minute load average over the number of cores. */
  readonly load: number;
  readonly objects: number;
  readonly bytes: number;
  /** Named totals since start, for example bytes by source. */
  readonly counters: Readonly<Record<string, number>>;
}

/** `POST /v1/announce`: once at start, then every `intervalMs` of the answer. */
export interface Announcement {
  /** The member's own, or the one before it, which an older tracker speaks. */
  readonly protocol: number;
  readonly member: Member;
  readonly vitals: Vitals;
}

/**
 * A change of the list. `full` lists replace what the node knows; others add `joined` and drop
 * `left` (ids). `view` grows by one with each change and orders lists of one tracker; `tracker`
 * names the tracker's start, so that a restarted tracker's smaller numbers are understood.
 */
export interface MemberChange {
  readonly tracker: string;
  readonly view: number;
  readonly full: boolean;
  readonly joined: readonly Member[];
  readonly left: readonly string[];
}

/** Answer to an announcement; the list itself comes through `GET /v1/members`. */
export interface AnnounceAnswer {
  /** How the tracker sees the node. */
  readonly address: string;
  readonly intervalMs: number;
}

// `GET /v1/members?follow=1` answers newline-delimited JSON: first a full MemberChange, then each
// change as it happens, and an empty line as a heartbeat. Without `follow` the full list alone.

/** True when nothing differs that another member would act on. */
export function sameMember(a: Member, b: Member): boolean {
  return (
    a.epoch === b.epoch &&
    a.address === b.address &&
    a.port === b.port &&
    a.name === b.name &&
    a.version === b.version &&
    a.protocol === b.protocol &&
    a.upstream === b.upstream &&
    a.archives.length === b.archives.length &&
    a.archives.every((host, i) => host === b.archives[i])
  );
}
