import { setImmediate } from "node:timers/promises";

/** Work in one turn of the event loop: about a millisecond of system calls on a warm disk. */
const TURN = 64;
/** Bytes that cost as much as one system call. */
const BYTES_PER_UNIT = 16 * 1024;

/**
 * Lets synchronous file system work share the event loop. A handler of a few files is walked in one go: each
 * asynchronous call would cost 50-100 us more, which counts in a cold start. A large one yields regularly.
 */
export class Pace {
  readonly #signal: AbortSignal | undefined;
  #used = 0;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /** True when it is time to `rest`; call it once per file or directory, with the bytes it moved. */
  due(bytes = 0): boolean {
    this.#used += 1 + bytes / BYTES_PER_UNIT;
    return this.#used >= TURN;
  }

  /** Gives the event loop a turn; fails if the signal was aborted. */
  async rest(): Promise<void> {
    this.#used = 0;
    this.#signal?.throwIfAborted();
    await setImmediate();
  }
}
