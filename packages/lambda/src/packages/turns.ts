/** The right to do something that only so many may do at once. */
export interface Turn {
  /** Gives it to the next in line. Idempotent. */
  readonly end: () => void;
}

/** Lets so many at once have their turn, in the order in which they came. */
export class Turns {
  #free: number;
  readonly #line = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<Turn> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#queued(signal);
    let ended = false;
    const end = (): void => {
      if (!ended) this.#next();
      ended = true;
    };
    return { end };
  }

  #queued(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
      const stop = (): void => {
        this.#line.delete(go);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", stop, { once: true });
      this.#line.add(go);
    });
  }

  #next(): void {
    const [go] = this.#line;
    if (go === undefined) {
      this.#free += 1;
      return;
    }
    this.#line.delete(go);
    go();
  }
}
