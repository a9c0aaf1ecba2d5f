import type { Clock } from "./clock.ts";

interface Timer {
  readonly atMs: number;
  /** Of two at one time the one that was set first comes first. */
  readonly number: number;
  /** Undefined once it is cancelled. */
  callback: (() => void) | undefined;
}

/** A clock that stands still until it is told to go on: for tests, and for the simulator. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #count = 0;
  /** A binary heap: each comes before the two at twice its place. */
  readonly #heap: Timer[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + Math.max(ms, 0), number: this.#count, callback };
    this.#count += 1;
    this.#push(timer);
    return () => {
      timer.callback = undefined;
    };
  }

  /** Goes to the next timer and calls it back; false if there is none up to `untilMs`. */
  step(untilMs: number = Number.POSITIVE_INFINITY): boolean {
    for (;;) {
      const [next] = this.#heap;
      if (next === undefined || next.atMs > untilMs) return false;
      this.#pop();
      const { callback } = next;
      if (callback === undefined) continue;
      next.callback = undefined;
      this.#nowMs = next.atMs;
      callback();
      return true;
    }
  }

  /** Lets that much time pass, with everything that is to happen in it. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.step(untilMs));
    this.#nowMs = untilMs;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(timer, heap[above] as Timer)) break;
      heap[at] = heap[above] as Timer;
      at = above;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      const [left, right] = [heap[below] as Timer, heap[below + 1]];
      if (right !== undefined && isBefore(right, left)) below += 1;
      if (!isBefore(heap[below] as Timer, last)) break;
      heap[at] = heap[below] as Timer;
      at = below;
    }
    heap[at] = last;
  }
}

const isBefore = (one: Timer, other: Timer): boolean =>
  one.atMs < other.atMs || (one.atMs === other.atMs && one.number < other.number);
