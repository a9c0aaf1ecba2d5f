/** So many calls in a row that did not come to a reply put a worker out. */
const MOST_FAILURES = 3;
const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;
/** Without failures for so long after it came back, its next time is the first one's again. */
const FORGET_MS = 30_000;

/**
 * Takes a worker out that calls cannot be brought to: for 1 s, and for twice as long each further time, up to 30 s. It comes
 * back on probation: until a call is answered, one failure puts it out again.
 */
export class Ejection {
  #failures = 0;
  #times = 0;
  #untilMs = Number.NEGATIVE_INFINITY;

  isOut(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }

  /** When it may come back; in the past if it is not out. */
  get untilMs(): number {
    return this.#untilMs;
  }

  /** A call was answered, by whatever. */
  succeeded(nowMs: number): void {
    this.#failures = 0;
    if (this.#times > 0 && nowMs - this.#untilMs >= FORGET_MS) this.#times = 0;
  }

  /** A call did not come to a reply. Whether that puts it out. */
  failed(nowMs: number): boolean {
    this.#failures += 1;
    // Calls that were under way when it was put out fail for the same reason, and say nothing new.
    if (this.#failures < MOST_FAILURES || this.isOut(nowMs)) return false;
    this.#untilMs = nowMs + Math.min(FIRST_MS * 2 ** this.#times, LONGEST_MS);
    this.#times += 1;
    return true;
  }

  /** It comes back before its time. */
  end(nowMs: number): void {
    if (this.isOut(nowMs)) this.#untilMs = nowMs;
  }
}
