import { randomFillSync } from "node:crypto";

const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TIME_DIGITS = 10;
const RANDOM_DIGITS = 16;
/** Random bytes are fetched for so many milliseconds at once. */
const BATCH = 64;

/** Whether `text` is a ULID as we write them: 26 digits of Crockford's base 32, the first at most 7. */
export const isUlid = (text: string): boolean => /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/u.test(text);

const timeText = (nowMs: number): string => {
  let text = "";
  let rest = nowMs;
  for (let digit = 0; digit < TIME_DIGITS; digit += 1) {
    text = (DIGITS[rest % 32] as string) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
};

/**
 * Makes ULIDs that rise: within a millisecond the random part counts up. An id of one kind a call, so it has to be
 * cheap: the time and all but the last digits of the random part are made once a millisecond.
 */
export class UlidMaker {
  readonly #now: () => number;
  readonly #pool = Buffer.alloc(RANDOM_DIGITS * BATCH);
  #at = this.#pool.length;
  #random = this.#pool;
  #lastMs = -1;
  /** Time and the first fourteen random digits. */
  #prefix = "";
  /** The last two random digits, as a number. */
  #low = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  next(): string {
    const nowMs = this.#now();
    if (nowMs > this.#lastMs) {
      this.#lastMs = nowMs;
      this.#refill();
      // The highest bit stays clear, so that counting up cannot run over.
      this.#random[0] = (this.#random[0] as number) & 0x0f;
      this.#low = (this.#random[14] as number) & 31;
      this.#refresh();
    } else {
      this.#low += 1;
      if (this.#low === 1024) {
        this.#low = 0;
        this.#carry();
        this.#refresh();
      }
    }
    return this.#prefix + (DIGITS[this.#low >> 5] as string) + (DIGITS[this.#low & 31] as string);
  }

  #refill(): void {
    if (this.#at === this.#pool.length) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    this.#random = this.#pool.subarray(this.#at, this.#at + RANDOM_DIGITS);
    this.#at += RANDOM_DIGITS;
  }

  #carry(): void {
    for (let at = RANDOM_DIGITS - 3; at >= 0; at -= 1) {
      const digit = ((this.#random[at] as number) & 31) + 1;
      this.#random[at] = digit & 31;
      if (digit < 32) return;
    }
  }

  #refresh(): void {
    let text = timeText(this.#lastMs);
    for (let at = 0; at < RANDOM_DIGITS - 2; at += 1)
      text += DIGITS[(this.#random[at] as number) & 31] as string;
    this.#prefix = text;
  }
}
