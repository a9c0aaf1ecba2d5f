/** Something that waits for a slot; it is woken once, and asks again if it wants more. */
export interface SlotWaiter {
  slotFree(): void;
  /** Whether it has something to run, and nothing but a slot is missing. */
  readonly wantsSlot: boolean;
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

  /** Whether somebody else stands in line, and would take a slot. */
  wantedBeside(waiter: SlotWaiter): boolean {
    for (const other of this.#waiting) if (other !== waiter && other.wantsSlot) return true;
    return false;
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
    // Whoever is woken and stands in line again is not asked twice about one slot.
    const inLine = [...this.#waiting];
    for (const waiter of inLine) {
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
