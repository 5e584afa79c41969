// The open streams of `GET /v1/members?follow=1`: each change is written once and sent to all.
import type { Writable } from 'node:stream';
import type { Clock, Timer } from '../node/platform/clock.ts';
import type { MemberTable } from './member-table.ts';
import type { MemberChange } from './protocol.ts';

export const HEARTBEAT_MS = 10_000;

// Changes of one moment travel together: sixty joins cost a few messages, not sixty times sixty.
const BATCH_MS = 30;
const BACKLOG_MAX = 1024 * 1024;
const heartbeat = Buffer.from('\n');

interface FollowersDeps {
  readonly table: MemberTable;
  readonly clock: Clock;
}

export class Followers {
  readonly #deps: FollowersDeps;
  readonly #streams = new Set<Writable>();
  readonly #heartbeat: Timer;
  #batch: Timer | undefined;

  constructor(deps: FollowersDeps) {
    this.#deps = deps;
    this.#heartbeat = deps.clock.every(HEARTBEAT_MS, () => this.#send(heartbeat));
  }

  /**
   * Starts `stream` with the full list; changes follow until it is closed. A change that is
   * pending is in the list already and comes once more: passing it on first would spoil the batch,
   * for every member that joins follows at once.
   */
  add(stream: Writable): void {
    stream.write(line(this.#deps.table.fullList()));
    this.#streams.add(stream);
    stream.once('close', () => this.#streams.delete(stream));
  }

  /** The table changed: everyone is told within `BATCH_MS`. */
  changed(): void {
    this.#batch ??= this.#deps.clock.after(BATCH_MS, () => this.#flush());
  }

  close(): void {
    this.#batch?.cancel();
    this.#heartbeat.cancel();
    for (const stream of this.#streams) stream.destroy();
  }

  #flush(): void {
    this.#batch = undefined;
    const change = this.#deps.table.takeChange();
    if (change) this.#send(line(change));
  }

  #send(bytes: Buffer): void {
    for (const stream of this.#streams) {
      // Who does not read gets a full list when it comes back.
      if (stream.writableLength > BACKLOG_MAX) stream.destroy();
      else stream.write(bytes);
    }
  }
}

function line(change: MemberChange): Buffer {
  return Buffer.from(`${JSON.stringify(change)}\n`);
}
