/**
 * How large a block is. Large enough that telling two threads and the kernel of one costs little; what a slow client holds while it
 * sends is one.
 */
export const BLOCK_BYTES: number = 512 * 1024;

/** So many are kept for the next body: 8 MiB, what four bodies have under way. */
const MOST_KEPT = 16;

/** Memory that main thread and hash threads share, reused: a fresh block is 512 KiB of zeroes for the kernel to provide. */
export class BlockPool {
  readonly #free: SharedArrayBuffer[] = [];

  take(): SharedArrayBuffer {
    return this.#free.pop() ?? new SharedArrayBuffer(BLOCK_BYTES);
  }

  give(block: SharedArrayBuffer): void {
    if (this.#free.length < MOST_KEPT) this.#free.push(block);
  }
}
