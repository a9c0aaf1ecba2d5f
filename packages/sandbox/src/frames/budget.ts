/** Tokens that come back in a second. */
const RATE_PER_SEC = 5_000;
/** Tokens that may be spent at once. */
const BURST = 2_000;

/**
 * What a guest may cost us in frames that carry no work: a token bucket. It is refilled only when it looks empty,
 * so charging is one subtraction. Without it one hostile guest starves the others (frames.md section 5).
 */
export class FrameBudget {
  #tokens = BURST;
  #filledAtMs: number;

  constructor(nowMs: number) {
    this.#filledAtMs = nowMs;
  }

  /** Takes `cost` tokens; true if the bucket is overdrawn. */
  charge(cost: number): boolean {
    this.#tokens -= cost;
    return this.#tokens < 0 && this.pauseMs(performance.now()) > 0;
  }

  /** How long until the bucket is no longer overdrawn, in ms; 0 when it is not. */
  pauseMs(nowMs: number): number {
    const came = ((nowMs - this.#filledAtMs) * RATE_PER_SEC) / 1000;
    this.#tokens = Math.min(BURST, this.#tokens + came);
    this.#filledAtMs = nowMs;
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1000) / RATE_PER_SEC);
  }
}
