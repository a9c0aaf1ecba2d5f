/** As the worker's own policy does it (docs/zygotes.md): what somebody gained ten minutes ago counts a third. */
const TAU_MS = 600_000;
/** A zygote is worth making once it would have spared twice what making it takes. */
const PAYBACK = 2;
/** It takes another's place if it is worth half as much again. */
const HYSTERESIS = 1.5;

/** Which package sets have a zygote on one worker: those that have spared most, lately. */
export class ZygoteSet {
  readonly #most: number;
  readonly #ready = new Set<string>();
  readonly #scores = new Map<string, { score: number; atMs: number }>();

  constructor(most: number) {
    this.#most = most;
  }

  get keys(): readonly string[] {
    return [...this.#ready];
  }

  has(key: string): boolean {
    return this.#ready.has(key);
  }

  /** A sandbox was started that a zygote has spared the import, or would have. */
  started(key: string, importMs: number, nowMs: number): void {
    const score = this.#scoreOf(key, nowMs) + importMs;
    this.#scores.set(key, { score, atMs: nowMs });
    if (this.#most === 0 || this.#ready.has(key) || score < PAYBACK * importMs) return;
    if (this.#ready.size < this.#most) {
      this.#ready.add(key);
      return;
    }
    const least = this.#least(nowMs);
    if (least === undefined || score <= HYSTERESIS * this.#scoreOf(least, nowMs)) return;
    this.#ready.delete(least);
    this.#ready.add(key);
  }

  #least(nowMs: number): string | undefined {
    let least: string | undefined;
    let leastScore = Number.POSITIVE_INFINITY;
    for (const key of this.#ready) {
      const score = this.#scoreOf(key, nowMs);
      if (score < leastScore) [least, leastScore] = [key, score];
    }
    return least;
  }

  #scoreOf(key: string, nowMs: number): number {
    const known = this.#scores.get(key);
    return known === undefined ? 0 : known.score * Math.exp(-(nowMs - known.atMs) / TAU_MS);
  }
}
