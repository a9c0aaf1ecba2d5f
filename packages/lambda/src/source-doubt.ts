import type { Logger } from "@ol/common";

/** The source cannot say whether the code is the newest. */
export interface Doubt {
  /** As of Date.now(). */
  readonly sinceMs: number;
  readonly reason: string;
}

/** A source that answers more slowly than this is no reason to let calls wait that there is code for. */
export const PATIENCE_MS = 1_000;

/** Whether the source of a function's code can be asked, and since when it cannot. */
export class SourceDoubt {
  readonly #lambda: string;
  readonly #logger: Logger;
  #doubt: Doubt | undefined;
  /** Whether the source answered in time when it was last asked. */
  #prompt = true;

  constructor(lambda: string, logger: Logger) {
    this.#lambda = lambda;
    this.#logger = logger;
  }

  /** Since when, and why, it is not known whether what runs is the newest; undefined if it is. */
  get current(): Doubt | undefined {
    return this.#doubt;
  }

  /** Whether nobody should wait for its answer who can do without. */
  get isDoubtful(): boolean {
    return this.#doubt !== undefined || !this.#prompt;
  }

  /** It answered within so long, or has not yet. */
  took(ms: number): void {
    this.#prompt = ms < PATIENCE_MS;
  }

  note(reason: string): void {
    const { reason: before, sinceMs = Date.now() } = this.#doubt ?? {};
    this.#doubt = { sinceMs, reason };
    // Told once, not once a check.
    if (before === undefined)
      this.#logger.warn("the registry cannot say what is the newest code; what there is serves on", {
        lambda: this.#lambda,
        error: reason,
      });
  }

  /** It has answered. */
  end(): void {
    if (this.#doubt === undefined) return;
    const staleMs = Date.now() - this.#doubt.sinceMs;
    this.#logger.info("the registry answers again", { lambda: this.#lambda, staleMs });
    this.#doubt = undefined;
  }
}
