import { type Logger, messageOf } from "@ol/common";

import { CHANNELS } from "./channels.ts";
import type { EvictionSnapshot, Evictor } from "./evictor.ts";
import type { MemoryBudget } from "./memory-budget.ts";

/** What an eviction can choose from, and its hands. */
export interface EvictionStock {
  snapshot(missingMb: number, trial: boolean): EvictionSnapshot;
  /** Begins to destroy what has that id; false if there is no such thing any more. */
  evict(id: string): boolean;
}

/** Asks a pool's evictor whenever memory is missing, and does what it says. */
export class Eviction {
  readonly #budget: MemoryBudget;
  readonly #evictor: Evictor;
  readonly #stock: EvictionStock;
  readonly #logger: Logger;
  #running = false;

  constructor(budget: MemoryBudget, evictor: Evictor, stock: EvictionStock, logger: Logger) {
    this.#budget = budget;
    this.#evictor = evictor;
    this.#stock = stock;
    this.#logger = logger;
  }

  /** Destroys what the evictor names, until enough is on its way back or nothing more may go. */
  run(): void {
    // What is destroyed here may make somebody ask for more at once.
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#budget.waiting > 0) {
        const missingMb = this.#budget.missingMb();
        if (missingMb <= 0) return;
        let evicted = 0;
        for (const id of this.#choose(this.#stock.snapshot(missingMb, false)))
          if (this.#stock.evict(id)) evicted += 1;
        if (evicted === 0) return;
      }
    } finally {
      this.#running = false;
    }
  }

  /** Whether that much more would be free, now or after an eviction, with nobody waiting for it already. */
  hasRoom(memoryMb: number): boolean {
    const missingMb = this.#budget.missingMb(memoryMb);
    if (missingMb <= 0) return true;
    if (this.#budget.waiting > 0) return false;
    const snapshot = this.#stock.snapshot(missingMb, true);
    const chosen = new Set(this.#choose(snapshot));
    let freedMb = 0;
    for (const { id, memoryMb: mb } of [...snapshot.sandboxes, ...snapshot.zygotes])
      if (chosen.has(id)) freedMb += mb;
    return freedMb >= missingMb;
  }

  #choose(snapshot: EvictionSnapshot): readonly string[] {
    const channel = CHANNELS["ol:eviction:choose"];
    const sinceMs = channel.hasSubscribers ? performance.now() : 0;
    try {
      // A copy: it is somebody else's, who may change it or have returned nothing of the kind.
      const chosen = [...this.#evictor(snapshot)];
      if (channel.hasSubscribers) {
        const { missingMb, trial, sandboxes, zygotes } = snapshot;
        const tookMs = performance.now() - sinceMs;
        channel.publish({
          missingMb,
          trial,
          sandboxes: sandboxes.length,
          zygotes: zygotes.length,
          chosen,
          tookMs,
        });
      }
      return chosen;
    } catch (error) {
      this.#logger.error("the evictor failed; nothing is evicted", { error: messageOf(error) });
      return [];
    }
  }
}
