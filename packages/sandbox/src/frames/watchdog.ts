/** setTimeout takes no more. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * One timer for all the deadlines of one owner. A deadline that is met costs nothing: the timer is left armed,
 * and when it fires `check` says when to look again. Arming again happens at most once per armed period.
 */
export class Watchdog {
  readonly #check: (nowMs: number) => number;
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #stopped = false;
  #held = false;

  /** `check` looks at all deadlines and returns the next one (performance.now() time), or Infinity. */
  constructor(check: (nowMs: number) => number) {
    this.#check = check;
  }

  /** Makes sure that `check` runs at or soon after `dueMs`. */
  at(dueMs: number, nowMs: number): void {
    if (dueMs >= this.#dueMs || this.#stopped || this.#held) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(this.#fire, Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(dueMs - nowMs))));
  }

  /** Nothing is due until `release`. */
  hold(): void {
    this.#held = true;
    this.#disarm();
  }

  /** Looks at all deadlines again. */
  release(): void {
    this.#held = false;
    const nowMs = performance.now();
    this.at(nowMs, nowMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#disarm();
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  /**
   * The verdict is put off until pending input was read: after this process itself was held up, what the guest
   * sent in time may still lie in the socket.
   */
  readonly #fire = (): void => {
    this.#immediate = setImmediate(() => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      const nowMs = performance.now();
      const nextMs = this.#check(nowMs);
      if (nextMs < Number.POSITIVE_INFINITY) this.at(nextMs, nowMs);
    });
  };
}
