// One connection of a client: which of its pipelined requests are under way.
import type { Socket } from 'node:net';

/** Requests started at once per connection; apt pipelines 10, or 20 with deploy/apt/30debherd. */
export const STARTED_MAX = 24;
/** Requests read ahead per connection; a client that sends more is not read until some end. */
const READ_AHEAD_MAX = 64;

export class ClientGone extends Error {}

export class AptConnection {
  readonly socket: Socket;
  readonly #running = new Set<AbortController>();
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
      start(controller);
    };
    if (this.#running.size < STARTED_MAX) {
      run();
      return;
    }
    this.#waiting.push(run);
    if (this.#waiting.length === READ_AHEAD_MAX) this.socket.pause();
  }

  end(controller: AbortController): void {
    this.#running.delete(controller);
    const next = this.#waiting.shift();
    if (next) {
      if (this.#waiting.length === READ_AHEAD_MAX - 1) this.socket.resume();
      next();
    } else if (this.#running.size === 0) {
      this.#onIdle?.();
    }
  }

  /** Calls `fn` once all requests so far are answered. */
  whenIdle(fn: () => void): void {
    if (this.idle) fn();
    else this.#onIdle = fn;
  }

  #gone(): void {
    this.#waiting.length = 0;
    if (this.#running.size === 0) return;
    const reason = new ClientGone('the client closed the connection');
    for (const controller of this.#running) controller.abort(reason);
  }
}
