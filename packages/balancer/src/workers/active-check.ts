/** So many checks in a row decide. */
const FALL = 3;
const RISE = 2;

/** What regular checks of a worker say: up at first, down after 3 failures in a row, up again after 2 successes in a row. */
export class ActiveCheck {
  #up = true;
  /** Results in a row that speak against what it is. */
  #against = 0;
  /** Successes in a row. */
  #successes = 0;

  get up(): boolean {
    return this.#up;
  }

  /** Whether the last checks would have brought it up, had it been down. */
  get risen(): boolean {
    return this.#successes >= RISE;
  }

  /** Successes begin to count anew. */
  restart(): void {
    this.#successes = 0;
  }

  note(ok: boolean): void {
    this.#successes = ok ? this.#successes + 1 : 0;
    this.#against = ok === this.#up ? 0 : this.#against + 1;
    if (this.#against < (this.#up ? FALL : RISE)) return;
    this.#up = ok;
    this.#against = 0;
  }
}
