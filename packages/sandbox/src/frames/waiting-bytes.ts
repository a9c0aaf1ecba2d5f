import { EMPTY } from "./codec.ts";

/** Pieces of less than half of it share a block. */
const BLOCK_BYTES = 16_384;

/** Whether most of the memory that a piece keeps is not its own: it is a slice of all that was read at once. */
const isSmallPart = (data: Buffer): boolean => data.length * 2 < data.buffer.byteLength;

/** A piece that keeps no more memory than it has bytes. */
export const compact = (data: Buffer): Buffer => {
  if (!isSmallPart(data)) return data;
  // Not from Node's pool: a byte would keep all of a block of that.
  const copy = Buffer.allocUnsafeSlow(data.length);
  data.copy(copy);
  return copy;
};

/**
 * Bytes that wait for whoever reads them, oldest first. They take about three times their size at most, however small the
 * pieces are in which a guest sends them.
 */
export class WaitingBytes {
  readonly #parts: Buffer[] = [];
  /** The newest part is the beginning of this, if it has a length. */
  #block = EMPTY;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(data: Buffer): void {
    if (data.length === 0) return;
    this.#length += data.length;
    if (data.length * 2 >= BLOCK_BYTES) {
      this.#block = EMPTY;
      this.#parts.push(compact(data));
      return;
    }
    const used = this.#block.length === 0 ? BLOCK_BYTES : (this.#parts.at(-1)?.length ?? 0);
    if (used + data.length > BLOCK_BYTES) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      data.copy(this.#block);
      this.#parts.push(this.#block.subarray(0, data.length));
    } else {
      data.copy(this.#block, used);
      this.#parts[this.#parts.length - 1] = this.#block.subarray(0, used + data.length);
    }
  }

  /** Takes the oldest part; undefined if nothing waits. */
  take(): Buffer | undefined {
    const part = this.#parts.shift();
    if (this.#parts.length === 0) this.#block = EMPTY;
    this.#length -= part?.length ?? 0;
    return part;
  }

  clear(): void {
    this.#parts.length = 0;
    this.#block = EMPTY;
    this.#length = 0;
  }
}
