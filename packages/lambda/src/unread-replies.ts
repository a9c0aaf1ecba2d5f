/**
 * Replies that have arrived in full and that their callers have not read to the end. They hold no sandbox, unless they are too
 * large together: whoever reads slowly would fill this process's memory then, and holds sandboxes instead.
 */
export class UnreadReplies {
  readonly #maxBytes: number;
  #count = 0;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Adds one; false, and nothing added, if there is no room for it. */
  add(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) return false;
    this.#count += 1;
    this.#bytes += bytes;
    return true;
  }

  /** One was read to its end, or is wanted no more. */
  delete(bytes: number): void {
    this.#count -= 1;
    this.#bytes -= bytes;
  }
}
