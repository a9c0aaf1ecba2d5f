import type { Readable } from "node:stream";

import { FrameBudget } from "./budget.ts";
import type { Watchdog } from "./watchdog.ts";

/** Stops reading from a guest whose budget is overdrawn, until it is not. */
export class Throttle {
  readonly #source: Readable;
  readonly #watchdog: Watchdog;
  readonly #budget: FrameBudget;
  /** When reading goes on (performance.now() time); Infinity while it is not stopped. */
  resumeAtMs: number = Number.POSITIVE_INFINITY;

  constructor(source: Readable, watchdog: Watchdog, nowMs: number) {
    this.#source = source;
    this.#watchdog = watchdog;
    this.#budget = new FrameBudget(nowMs);
  }

  get paused(): boolean {
    return this.resumeAtMs < Number.POSITIVE_INFINITY;
  }

  charge(cost: number): void {
    if (!this.#budget.charge(cost) || this.paused) return;
    const nowMs = performance.now();
    this.resumeAtMs = nowMs + this.#budget.pauseMs(nowMs);
    this.#source.pause();
    this.#watchdog.at(this.resumeAtMs, nowMs);
  }

  /** Reads on if it is time to; true if so. */
  resumes(nowMs: number): boolean {
    if (nowMs < this.resumeAtMs) return false;
    // What was read before the pause took effect was charged too.
    const pauseMs = this.#budget.pauseMs(nowMs);
    this.resumeAtMs = pauseMs > 0 ? nowMs + pauseMs : Number.POSITIVE_INFINITY;
    if (pauseMs > 0) return false;
    this.#source.resume();
    return true;
  }
}
