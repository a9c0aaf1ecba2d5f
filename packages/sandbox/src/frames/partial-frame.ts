import { FrameViolation } from "./codec.ts";
import type { Watchdog } from "./watchdog.ts";

/** Notices a guest that sends the beginning of a frame and not its end. */
export class PartialFrame {
  readonly #watchdog: Watchdog;
  readonly #patienceMs: number;
  #number = 0;
  #sinceMs = 0;

  constructor(watchdog: Watchdog, patienceMs: number) {
    this.#watchdog = watchdog;
    this.#patienceMs = patienceMs;
  }

  /** What lies unfinished after a read: the frame's number, 0 if none. */
  seen(number: number): void {
    if (number !== 0 && number !== this.#number) {
      this.#sinceMs = performance.now();
      this.#watchdog.at(this.#sinceMs + this.#patienceMs, this.#sinceMs);
    }
    this.#number = number;
  }

  /** The time up to now was not the guest's fault. */
  restart(nowMs: number): void {
    this.#sinceMs = nowMs;
  }

  /** Moves the deadline by a time in which the guest could not run. */
  shift(heldMs: number): void {
    this.#sinceMs += heldMs;
  }

  /** Throws FrameViolation if the rest is overdue; returns when to look again. */
  check(nowMs: number): number {
    if (this.#number === 0) return Number.POSITIVE_INFINITY;
    const dueMs = this.#sinceMs + this.#patienceMs;
    if (nowMs >= dueMs) throw new FrameViolation(`half a frame for ${this.#patienceMs} ms`);
    return dueMs;
  }
}
