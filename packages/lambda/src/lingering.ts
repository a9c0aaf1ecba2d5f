import { type Logger, messageOf } from "@ol/common";

import type { Instance } from "./instance.ts";

/**
 * Pauses the sandboxes of instances that have been idle for a while. One timer for all of them, set
 * as long as one is not paused; nothing at all is done for a call, since calls come more often than pauses.
 */
export class Lingering {
  readonly #lingerMs: number;
  readonly #instances: ReadonlyMap<string, Instance>;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;

  /** `lingerMs` 0: nothing is ever paused. */
  constructor(lingerMs: number, instances: ReadonlyMap<string, Instance>, logger: Logger) {
    this.#lingerMs = lingerMs;
    this.#instances = instances;
    this.#logger = logger;
  }

  /** A sandbox was made, or resumed. */
  note(): void {
    if (this.#timer === undefined && this.#lingerMs > 0) this.#arm(this.#lingerMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), Math.max(1, Math.ceil(ms))).unref();
  }

  #look(): void {
    this.#timer = undefined;
    const nowMs = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const instance of this.#instances.values()) {
      const { sandbox } = instance;
      if (sandbox === undefined || sandbox.state === "paused" || sandbox.state === "pausing") continue;
      // One that is kept warm is not the pool's to take back, and not to be paused.
      const idle = instance.state === "idle" && sandbox.state === "ready" && sandbox.idle;
      const dueMs = idle ? instance.usedMs + this.#lingerMs : nowMs + this.#lingerMs;
      if (dueMs <= nowMs) void this.#pause(instance);
      // One that could not be paused is tried again, but not at once.
      nextMs = Math.min(nextMs, dueMs > nowMs ? dueMs : nowMs + this.#lingerMs);
    }
    if (nextMs < Number.POSITIVE_INFINITY) this.#arm(nextMs - nowMs);
  }

  async #pause(instance: Instance): Promise<void> {
    const { sandbox } = instance;
    try {
      await sandbox?.pause();
    } catch (error) {
      // It runs on, which costs memory and nothing else.
      this.#logger.warn("a sandbox could not be paused", {
        sandbox: sandbox?.id,
        error: messageOf(error),
      });
    }
  }
}
