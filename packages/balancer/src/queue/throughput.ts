/** Half of what is known is younger than some 3.5 s. */
const TAU_MS = 5_000;
/** Fewer than that say nothing. */
const LEAST = 10;

/** How many calls end in a while, the last seconds counting most. */
export class Throughput {
  #count = 0;
  #atMs = 0;
  #sinceMs: number | undefined;

  note(nowMs: number): void {
    this.#count = this.#decayed(nowMs) + 1;
    this.#atMs = nowMs;
    this.#sinceMs ??= nowMs;
  }

  /** Undefined while too little is known. */
  perMs(nowMs: number): number | undefined {
    const count = this.#decayed(nowMs);
    if (this.#sinceMs === undefined || count < LEAST) return undefined;
    // Before as much time has passed as is remembered, it is what was counted in that time.
    const windowMs = TAU_MS * (1 - Math.exp(-(nowMs - this.#sinceMs) / TAU_MS));
    return windowMs > 0 ? count / windowMs : undefined;
  }

  #decayed(nowMs: number): number {
    return this.#count * Math.exp(-(nowMs - this.#atMs) / TAU_MS);
  }
}
