// The parts of these two packages that dht-discovery.ts uses; neither ships types.
declare module 'k-rpc' {
  import type { EventEmitter } from 'node:events';

  interface Contact {
    readonly id: Buffer;
    readonly host: string;
    readonly port: number;
  }

  class KRpc extends EventEmitter {
    constructor(options: {
      id: Buffer;
      /** What a `dgram.Socket` does; see sealed-socket.ts. */
      socket: EventEmitter;
      /** False: nobody. The default is the public BitTorrent network. */
      bootstrap: false;
      /** Milliseconds until a query counts as lost. */
      timeout: number;
      /** Contacts of a bucket of the routing table, and `k` of lookups. */
      k: number;
      isIP(host: string): number;
    });
    /** Nodes that a lookup asks. */
    k: number;
    /** Queries in flight. */
    concurrency: number;
    nodes: {
      get(id: Buffer): Contact | null;
      closest(id: Buffer, count?: number): Contact[];
      count(): number;
      toArray(): Contact[];
    };
  }
  export = KRpc;
}

declare module 'bittorrent-dht' {
  import { EventEmitter } from 'node:events';
  import type KRpc from 'k-rpc';

  export class Client extends EventEmitter {
    constructor(options: {
      krpc: KRpc;
      bootstrap: false;
      /** Milliseconds; records live 0.66 to 1.33 times as long. 0 is for ever. */
      maxAge: number;
      /** Records kept. */
      maxPeers: number;
    });
    addNode(node: { id: Buffer; host: string; port: number }): void;
    removeNode(id: Buffer): void;
    /** Emits 'peer' ({ host, port }, infoHash) for each record of each answer. */
    lookup(infoHash: Buffer, done: (error: Error | null) => void): () => void;
    announce(infoHash: Buffer, port: number, done: (error: Error | null) => void): void;
    listen(port: number, address: string): void;
    address(): { address: string; port: number };
    destroy(done: () => void): void;
  }
}
