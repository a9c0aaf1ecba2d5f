import { type Logger, messageOf } from "@ol/common";

import type { Instance } from "./instance.ts";

/**
 * Pauses the sandboxes of instances that have been idle for a while. One timer for all of them, and nothing is done for
 * a call but to see that it is set: calls come more often than pauses.
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

  /** An instance has become idle. */
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
      if (instance.state !== "idle" || sandbox === undefined) continue;
      if (sandbox.state === "starting") nextMs = Math.min(nextMs, nowMs + this.#lingerMs);
      if (sandbox.state !== "ready") continue;
      const dueMs = instance.usedMs + this.#lingerMs;
      if (dueMs > nowMs) nextMs = Math.min(nextMs, dueMs);
      else void this.#pause(instance);
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
