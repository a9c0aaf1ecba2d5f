import { type Deferred, deferred } from "@ol/common";

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
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, withinMs).unref()));
    try {
      await Promise.race([this.#next.promise, over]);
    } finally {
      clearTimeout(timer);
    }
  }
}
