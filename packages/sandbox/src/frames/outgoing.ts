import type { Duplex } from "node:stream";

import { FrameViolation, HEAD_BYTES, writeFrame } from "./codec.ts";
import type { Watchdog } from "./watchdog.ts";

/** Writes frames and notices a guest that stops reading. */
export class Outgoing {
  readonly #socket: Duplex;
  readonly #watchdog: Watchdog;
  readonly #stallMs: number;
  #written = 0;
  #flushedBefore = 0;
  #stalledSinceMs = 0;
  #gathering = false;

  constructor(socket: Duplex, watchdog: Watchdog, stallMs: number) {
    this.#socket = socket;
    this.#watchdog = watchdog;
    this.#stallMs = stallMs;
  }

  /** Bytes the kernel has taken. */
  get flushed(): number {
    return this.#written - this.#socket.writableLength;
  }

  /** Writes a frame; returns how many bytes were written in all, which `flushed` can be compared with. */
  write(type: number, flags: number, stream: number, meta: string, body: Buffer): number {
    this.#written += HEAD_BYTES + meta.length + body.length;
    if (!writeFrame(this.#socket, type, flags, stream, meta, body)) this.#watch();
    return this.#written;
  }

  /** What is written from here until the end of this turn of the event loop goes out together. */
  gather(): void {
    if (this.#gathering) return;
    this.#gathering = true;
    this.#socket.cork();
    setImmediate(this.#release);
  }

  readonly #release = (): void => {
    this.#gathering = false;
    this.#socket.uncork();
  };

  #watch(): void {
    const nowMs = performance.now();
    if (this.#stalledSinceMs === 0) this.#stalledSinceMs = nowMs;
    this.#watchdog.at(nowMs + this.#stallMs, nowMs);
  }

  /** Moves the deadline by a time in which the guest could not run. */
  shift(heldMs: number): void {
    if (this.#stalledSinceMs > 0) this.#stalledSinceMs += heldMs;
  }

  /** Throws FrameViolation if nothing was read for too long by a guest that is not busy; returns when to look again. */
  check(nowMs: number, busy: boolean): number {
    if (this.#stalledSinceMs === 0) return Number.POSITIVE_INFINITY;
    if (this.#socket.writableLength === 0) {
      this.#stalledSinceMs = 0;
      return Number.POSITIVE_INFINITY;
    }
    const flushed = this.flushed;
    if (busy || flushed !== this.#flushedBefore) this.#stalledSinceMs = nowMs;
    this.#flushedBefore = flushed;
    const dueMs = this.#stalledSinceMs + this.#stallMs;
    if (nowMs >= dueMs) throw new FrameViolation(`nothing read for ${this.#stallMs} ms`);
    return dueMs;
  }
}
