/** Work by key, each once at a time: callers that come meanwhile share what comes of it. */
export class Once<T> {
  readonly #running = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running) return running;
    const promise = work().finally(() => this.#running.delete(key));
    this.#running.set(key, promise);
    return promise;
  }

  /** What is under way. */
  get(key: string): Promise<T> | undefined {
    return this.#running.get(key);
  }
}
