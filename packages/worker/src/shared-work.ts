/** What several ask for at the same time is done once. */
export class SharedWork<Result> {
  readonly #limitMs: number;
  readonly #going = new Map<string, Promise<Result>>();
  readonly #stop = new AbortController();

  /** What takes longer than `limitMs` is given up. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /**
   * The result of what is under way for that key, else of `work`. It has a signal of its own: who does not wait any longer,
   * by his own, stops nobody else, and what he asked for is there when he asks again.
   */
  async run(
    key: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    signal.throwIfAborted();
    const going = this.#going.get(key) ?? this.#begin(key, work);
    return await untilAborted(going, signal);
  }

  /** Gives up what is under way, and settles when it has ended. */
  async stop(reason: Error): Promise<void> {
    this.#stop.abort(reason);
    await Promise.allSettled(this.#going.values());
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const limit = new AbortController();
    const timer = setTimeout(
      () => limit.abort(new Error(`not done within ${this.#limitMs} ms`)),
      this.#limitMs,
    );
    const stop = (): void => limit.abort(this.#stop.signal.reason);
    this.#stop.signal.addEventListener("abort", stop, { once: true });
    if (this.#stop.signal.aborted) stop();
    const going = work(limit.signal).finally(() => {
      clearTimeout(timer);
      this.#stop.signal.removeEventListener("abort", stop);
      this.#going.delete(key);
    });
    // Whoever asked hears of a failure; there may be nobody left who waits.
    going.catch(() => undefined);
    this.#going.set(key, going);
    return going;
  }
}

const untilAborted = <Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> =>
  new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
