/** Of the calls under way so many may be on their second or third worker. */
const SHARE = 0.2;
/** So many in any case: a fifth of a few calls would be none. */
const LEAST = 3;

/** Keeps retries from making an overload worse. */
export class RetryBudget {
  #live = 0;
  #retrying = 0;

  /** Calls under way, waiting ones included. */
  get live(): number {
    return this.#live;
  }

  /** Those of them that have been sent more than once. */
  get retrying(): number {
    return this.#retrying;
  }

  /** A call comes. */
  enter(): void {
    this.#live += 1;
  }

  /** A call is over. `retried`: it was granted a retry. */
  leave(retried: boolean): void {
    this.#live -= 1;
    if (retried) this.#retrying -= 1;
  }

  /** Grants a retry to a call under way that has had none, if there may be one more such call. */
  take(): boolean {
    if (this.#retrying >= Math.max(LEAST, Math.floor(SHARE * this.#live))) return false;
    this.#retrying += 1;
    return true;
  }
}
