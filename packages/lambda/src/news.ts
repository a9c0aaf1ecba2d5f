import { type Deferred, deferred, within } from "@ol/common";

/** What those hear who wait for a function's code to be loaded: that there is something new to look at, or why there is not. */
export class News {
  #next: Deferred<void> | undefined;

  /** Whether somebody waits. */
  get awaited(): boolean {
    return this.#next !== undefined;
  }

  /** Everybody who waits looks again, or fails with the error. */
  tell(error?: unknown): void {
    if (error === undefined) this.#next?.resolve();
    else this.#next?.reject(error);
    this.#next = undefined;
  }

  /** Settles with the next news, and after so many ms in any case. */
  async next(withinMs: number): Promise<void> {
    this.#next ??= deferred<void>();
    await within(this.#next.promise, withinMs);
  }
}
