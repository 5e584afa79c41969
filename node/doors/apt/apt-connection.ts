// One connection of a client: which of its pipelined requests are under way.
import type { Socket } from 'node:net';

/**
 * Requests per connection whose bytes are on their way at one time: enough to keep a WAN busy.
 * With more, sixty machines that begin at one moment connect to each other more than they fetch.
 */
export const FETCHING_MAX = 10;
/** With those whose bytes are here and wait for their turn; each may hold four pieces in memory. */
export const STARTED_MAX = 48;
/** Requests read ahead per connection; a client that sends more is not read until some end. */
const READ_AHEAD_MAX = 64;

export class ClientGone extends Error {}

export class AptConnection {
  readonly socket: Socket;
  /** Started and not answered yet. */
  readonly #running = new Set<AbortController>();
  /** Those of them whose bytes are on their way. */
  readonly #fetching = new Set<AbortController>();
  readonly #waiting: (() => void)[] = [];
  #onIdle: (() => void) | undefined;

  constructor(socket: Socket, closed: () => void) {
    this.socket = socket;
    socket.once('close', () => {
      closed();
      this.#gone();
    });
  }

  get idle(): boolean {
    return this.#running.size === 0 && this.#waiting.length === 0;
  }

  /** Calls `start` once few enough requests run, with what aborts when the client goes. */
  begin(start: (controller: AbortController) => void): void {
    const run = () => {
      const controller = new AbortController();
      this.#running.add(controller);
      this.#fetching.add(controller);
      start(controller);
    };
    if (this.#hasRoom) {
      run();
      return;
    }
    this.#waiting.push(run);
    if (this.#waiting.length === READ_AHEAD_MAX) this.socket.pause();
  }

  /** Its bytes are here: others may be fetched while it waits for its turn. */
  arrived(controller: AbortController): void {
    if (this.#fetching.delete(controller)) this.#startMore();
  }

  end(controller: AbortController): void {
    this.#running.delete(controller);
    this.#fetching.delete(controller);
    this.#startMore();
    if (this.idle) this.#onIdle?.();
  }

  /** Calls `fn` once all requests so far are answered. */
  whenIdle(fn: () => void): void {
    if (this.idle) fn();
    else this.#onIdle = fn;
  }

  get #hasRoom(): boolean {
    return this.#fetching.size < FETCHING_MAX && this.#running.size < STARTED_MAX;
  }

  #startMore(): void {
    while (this.#hasRoom) {
      const next = this.#waiting.shift();
      if (!next) return;
      if (this.#waiting.length === READ_AHEAD_MAX - 1) this.socket.resume();
      next();
    }
  }

  #gone(): void {
    this.#waiting.length = 0;
    if (this.#running.size === 0) return;
    const reason = new ClientGone('the client closed the connection');
    for (const controller of this.#running) controller.abort(reason);
  }
}
