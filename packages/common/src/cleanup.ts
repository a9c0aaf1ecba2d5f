type Undo = () => void | Promise<void>;

/**
 * Undo steps, run last first. Each is registered before the act it undoes, and dropped by `release` once the
 * whole succeeded. Every step runs even if another fails; the failures come out together.
 */
export class CleanupStack implements AsyncDisposable {
  #steps: Undo[] = [];

  add(undo: Undo): void {
    this.#steps.push(undo);
  }

  /** Forgets every step: what was made stays. */
  release(): void {
    this.#steps = [];
  }

  async run(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, `${failures.length} clean-up steps failed`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.run();
  }
}
