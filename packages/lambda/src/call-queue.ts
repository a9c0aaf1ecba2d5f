import type { PendingCall } from "./pending-call.ts";

/** Below this many holes it is not worth moving what is left. */
const COMPACT_FROM = 32;

/** First in, first out; calls whose client is gone are skipped and counted out at once. */
export class CallQueue {
  #calls: (PendingCall | undefined)[] = [];
  #head = 0;
  #size = 0;

  /** Calls that wait, without those dropped. */
  get size(): number {
    return this.#size;
  }

  push(call: PendingCall): void {
    this.#calls.push(call);
    this.#size += 1;
  }

  /** Puts a call before all others. */
  unshift(call: PendingCall): void {
    if (this.#head === 0) this.#calls.unshift(call);
    else this.#calls[(this.#head -= 1)] = call;
    this.#size += 1;
  }

  /** The oldest call that still waits, left where it is. */
  peek(): PendingCall | undefined {
    this.#skipDropped();
    return this.#calls[this.#head];
  }

  shift(): PendingCall | undefined {
    this.#skipDropped();
    const call = this.#calls[this.#head];
    if (call === undefined) return undefined;
    this.#advance();
    this.#size -= 1;
    return call;
  }

  /** To be called once, when a waiting call's state has become "dropped". */
  noteDropped(): void {
    this.#size -= 1;
    const holes = this.#calls.length - this.#size;
    if (holes > COMPACT_FROM && holes > this.#size) this.#compact();
  }

  /** Takes out everything that waits. */
  takeAll(): PendingCall[] {
    const calls = this.#calls.filter((call) => call?.state === "queued") as PendingCall[];
    this.#calls = [];
    this.#head = 0;
    this.#size = 0;
    return calls;
  }

  #skipDropped(): void {
    while (this.#head < this.#calls.length && this.#calls[this.#head]?.state !== "queued") this.#advance();
  }

  #advance(): void {
    this.#calls[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === this.#calls.length) {
      this.#calls.length = 0;
      this.#head = 0;
    } else if (this.#head > COMPACT_FROM && this.#head * 2 > this.#calls.length) this.#compact();
  }

  #compact(): void {
    this.#calls = this.#calls.filter((call) => call?.state === "queued");
    this.#head = 0;
  }
}
