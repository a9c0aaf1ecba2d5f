import { type OlError, isOlError } from "@ol/common";

import { sandboxError } from "./errors.ts";

interface Waiter {
  readonly memoryMb: number;
  readonly grant: () => void;
  readonly refuse: (error: OlError) => void;
}

/** How a wait for memory is bounded. */
export interface MemoryWait {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs: number;
}

/**
 * Promises memory up to a total, first come first served: a large wish at the head of the line is not overtaken
 * by small ones, or it might never be granted.
 */
export class MemoryBudget {
  readonly totalMb: number;
  readonly #short: (missingMb: number) => void;
  readonly #waiters: Waiter[] = [];
  #promisedMb = 0;
  /** Of the promised, what is on its way back. */
  #returningMb = 0;

  /** `short` is called whenever someone waits for memory that is neither free nor on its way back. */
  constructor(totalMb: number, short: (missingMb: number) => void) {
    this.totalMb = totalMb;
    this.#short = short;
  }

  get promisedMb(): number {
    return this.#promisedMb;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /**
   * Settles when `memoryMb` are promised to the caller. Fails with OL_SANDBOX_TOO_LARGE, OL_SANDBOX_NO_MEMORY,
   * OL_SANDBOX_CANCELLED, or what `refuseAll` was called with.
   */
  async take(memoryMb: number, wait: MemoryWait): Promise<void> {
    if (memoryMb > this.totalMb)
      throw sandboxError(
        "OL_SANDBOX_TOO_LARGE",
        `A sandbox of ${memoryMb} MB does not fit into the budget of ${this.totalMb} MB.`,
      );
    if (wait.signal?.aborted) throw cancelled(wait.signal.reason);
    if (this.#waiters.length === 0 && this.#promisedMb + memoryMb <= this.totalMb) {
      this.#promisedMb += memoryMb;
      return;
    }
    await this.#queue(memoryMb, wait);
  }

  #queue(memoryMb: number, { signal, deadlineMs }: MemoryWait): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
      const waiter: Waiter = {
        memoryMb,
        grant: () => (over(), resolve()),
        refuse: (error) => (over(), reject(error)),
      };
      const abort = (): void => this.#drop(waiter, cancelled(signal?.reason));
      const timer = setTimeout(() => this.#drop(waiter, noMemory(memoryMb, deadlineMs)), deadlineMs);
      signal?.addEventListener("abort", abort);
      this.#waiters.push(waiter);
      this.#complain();
    });
  }

  /** Memory that was taken will be given back soon; nobody needs to free more for it. */
  announce(memoryMb: number): void {
    this.#returningMb += memoryMb;
  }

  /** Gives back what was taken; `announced` if that was said before. */
  give(memoryMb: number, announced: boolean): void {
    this.#promisedMb -= memoryMb;
    if (announced) this.#returningMb -= memoryMb;
    this.#serve();
    if (this.#waiters.length > 0) this.#complain();
  }

  /** Everyone who waits hears `error`. */
  refuseAll(error: OlError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.refuse(error);
  }

  #drop(waiter: Waiter, error: OlError): void {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
    waiter.refuse(error);
    this.#serve();
  }

  #serve(): void {
    for (let head = this.#waiters[0]; head !== undefined; head = this.#waiters[0]) {
      if (this.#promisedMb + head.memoryMb > this.totalMb) return;
      this.#waiters.shift();
      this.#promisedMb += head.memoryMb;
      head.grant();
    }
  }

  #complain(): void {
    const wantedMb = this.#waiters.reduce((sum, waiter) => sum + waiter.memoryMb, 0);
    const missingMb = this.#promisedMb - this.#returningMb + wantedMb - this.totalMb;
    if (missingMb > 0) this.#short(missingMb);
  }
}

const cancelled = (reason: unknown): OlError =>
  isOlError(reason, "OL_SANDBOX_CANCELLED")
    ? reason
    : sandboxError("OL_SANDBOX_CANCELLED", "The caller no longer wants the sandbox.", { cause: reason });

const noMemory = (memoryMb: number, deadlineMs: number): OlError =>
  sandboxError(
    "OL_SANDBOX_NO_MEMORY",
    `No room for a sandbox of ${memoryMb} MB within ${deadlineMs} ms; all memory is promised to others.`,
  );
