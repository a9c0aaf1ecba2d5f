/** Something that waits for a slot; it is woken once, and asks again if it wants more. */
export interface SlotWaiter {
  slotFree(): void;
}

/** How many calls run at once on this worker: each sandbox that is busy has one. Whoever waits is served in turn, one slot each. */
export class Slots {
  readonly total: number;
  #busy = 0;
  readonly #waiting = new Set<SlotWaiter>();

  constructor(total: number) {
    this.total = total;
  }

  get busy(): number {
    return this.#busy;
  }

  get free(): number {
    return this.total - this.#busy;
  }

  /** Whether somebody stands in line. */
  get wanted(): boolean {
    return this.#waiting.size > 0;
  }

  /** Only while `free` is not 0. */
  take(): void {
    this.#busy += 1;
  }

  /** Stands in line for the next free slot. */
  wait(waiter: SlotWaiter): void {
    this.#waiting.add(waiter);
  }

  release(): void {
    this.#busy -= 1;
    for (const waiter of this.#waiting) {
      this.#waiting.delete(waiter);
      waiter.slotFree();
      // A waiter whose calls are gone meanwhile takes nothing: then it is the next one's turn.
      if (this.#busy >= this.total) return;
    }
  }

  leave(waiter: SlotWaiter): void {
    this.#waiting.delete(waiter);
  }
}
