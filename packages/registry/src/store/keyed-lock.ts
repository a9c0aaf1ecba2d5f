/** Lets those who name the same key go one after another, in the order in which they came. */
export class KeyedLock {
  /** The last one in line for each key. */
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `act` when all who named this key before are through; its failure is the caller's alone. */
  async run<Result>(key: string, act: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key);
    let leave!: () => void;
    const tail = new Promise<void>((resolve) => {
      leave = resolve;
    });
    this.#tails.set(key, tail);
    try {
      await before;
      return await act();
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
      leave();
    }
  }
}
