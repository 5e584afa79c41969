// A UDP socket for k-rpc-socket whose datagrams are sealed with the fleet key. What does not open
// is dropped without a word: a stranger cannot even learn that something listens.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import type { Sealer } from './sealer.ts';

type Done = (error: Error | null) => void;

export interface DatagramCounts {
  sent: number;
  received: number;
  /** Datagrams that did not open. */
  strangers: number;
}

/** The part of `dgram.Socket` that k-rpc-socket uses; IPv4 only, like the DHT itself. */
export class SealedSocket extends EventEmitter {
  readonly counts: DatagramCounts = { sent: 0, received: 0, strangers: 0 };
  readonly #sealer: Sealer;
  readonly #passed: (way: 'sent' | 'received') => void;
  readonly #socket: Socket;
  #closed = false;

  /** `passed` is told of each datagram but those of strangers. */
  constructor(sealer: Sealer, passed: (way: 'sent' | 'received') => void = () => {}) {
    super();
    this.#sealer = sealer;
    this.#passed = passed;
    this.#socket = createSocket({
      type: 'udp4',
      // Addresses only, so that no datagram takes the way through the resolver.
      lookup: (address, _options, done) => done(null, address, 4),
    });
    this.#socket.on('message', (datagram, from) => this.#receive(datagram, from));
    for (const event of ['listening', 'error', 'close']) {
      this.#socket.on(event, (...details: unknown[]) => this.emit(event, ...details));
    }
  }

  bind(port: number, address: string): void {
    this.#socket.bind(port, address);
  }

  address(): { address: string; port: number } {
    return this.#socket.address();
  }

  /** As `dgram.Socket.send`; after `close` the datagram is lost, as datagrams may be. */
  send(bytes: Buffer, from: number, length: number, port: number, host: string, done: Done): void {
    if (this.#closed) return;
    this.counts.sent++;
    this.#passed('sent');
    const sealed = this.#sealer.seal(bytes.subarray(from, from + length));
    this.#socket.send(sealed, port, host, done);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #receive(datagram: Buffer, from: RemoteInfo): void {
    const plain = this.#sealer.open(datagram);
    if (plain === undefined) this.counts.strangers++;
    else {
      this.counts.received++;
      this.#passed('received');
      this.emit('message', plain, from);
    }
  }
}
