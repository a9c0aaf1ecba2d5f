import { randomFillSync } from "node:crypto";

const SHAPE = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/u;
const ID_BYTES = 24;
/** Random bytes are fetched for so many calls at once. */
const BATCH = 128;

/** Whether a client's traceparent header can be passed on as it is (W3C Trace Context, level 1). */
export const isTraceparent = (text: string): boolean => SHAPE.test(text) && !text.startsWith("ff");

/** Makes a traceparent for calls that come without one: a new trace, not sampled. */
export class TraceparentMaker {
  readonly #random = Buffer.alloc(ID_BYTES * BATCH);
  #at = this.#random.length;

  next(): string {
    if (this.#at === this.#random.length) {
      randomFillSync(this.#random);
      this.#at = 0;
    }
    const from = this.#at;
    this.#at += ID_BYTES;
    const ids = this.#random.toString("hex", from, this.#at);
    return `00-${ids.slice(0, 32)}-${ids.slice(32)}-00`;
  }
}
