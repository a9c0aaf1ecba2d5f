import { vi } from "vitest";

/** Node's own, from before the clock is held. */
const nextTurn = setImmediate;

/** So many events at one moment are events that cause each other without end. */
const MOST_EVENTS = 200_000;

/**
 * The clock of a world: it stands still while something is to be done, and moves only by `advance`. One timer or immediate runs
 * after another, in the order of their times, each with all the promises that it settles; the same seed gives the same order.
 */
export class VirtualClock {
  constructor() {
    vi.useFakeTimers({
      toFake: [
        "performance",
        "setTimeout",
        "clearTimeout",
        "setInterval",
        "clearInterval",
        "setImmediate",
        "clearImmediate",
      ],
    });
  }

  /** Timers that are set. */
  get timers(): number {
    return vi.getTimerCount();
  }

  /** Does all that is to be done now. */
  settle(): Promise<void> {
    return this.advance(0);
  }

  /** Lets so many ms pass. */
  async advance(ms: number): Promise<void> {
    const end = { reached: false };
    // Immediates of the same moment come before it, those too that are set meanwhile.
    setTimeout(() => (end.reached = true), ms);
    await this.#turn();
    for (let events = 0; !end.reached; events += 1) {
      if (events > MOST_EVENTS) throw new Error(`${events} events within ${ms} ms`);
      vi.advanceTimersToNextTimer();
      await this.#turn();
    }
  }

  /** The real one is back. */
  release(): void {
    vi.useRealTimers();
  }

  /** Settles what waits for nothing but its turn. */
  #turn(): Promise<void> {
    return new Promise((resolve) => void nextTurn(resolve));
  }
}
