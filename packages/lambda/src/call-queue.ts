import type { PendingCall } from "./pending-call.ts";

/** Below this many holes it is not worth moving what is left. */
const COMPACT_FROM = 32;

/** First in, first out; calls whose client is gone are skipped and counted out at once. */
export class CallQueue {
  #calls: (PendingCall | undefined)[] = [];
  #head = 0;
  #size = 0;
  /** No call that waits has an earlier deadline; one that had may be gone. */
  #soonestMs = Number.POSITIVE_INFINITY;

  /** Calls that wait, without those dropped. */
  get size(): number {
    return this.#size;
  }

  /** When the first deadline may be over; on the clock of performance.now(). */
  get soonestMs(): number {
    return this.#soonestMs;
  }

  push(call: PendingCall): void {
    this.#calls.push(call);
    this.#size += 1;
    if (call.deadlineMs < this.#soonestMs) this.#soonestMs = call.deadlineMs;
  }

  /** Puts a call before all others. */
  unshift(call: PendingCall): void {
    if (this.#head === 0) this.#calls.unshift(call);
    else this.#calls[(this.#head -= 1)] = call;
    this.#size += 1;
    if (call.deadlineMs < this.#soonestMs) this.#soonestMs = call.deadlineMs;
  }

  shift(): PendingCall | undefined {
    this.#skipDropped();
    const call = this.#calls[this.#head];
    if (call === undefined) return undefined;
    this.#advance();
    this.#size -= 1;
    return call;
  }

  /** Moves the deadlines of all that wait; see PendingCall. */
  waitLonger(waitMs: number): void {
    this.#soonestMs = Number.POSITIVE_INFINITY;
    for (const call of this.#calls) {
      if (call?.state !== "queued") continue;
      call.waitUpTo(waitMs);
      if (call.deadlineMs < this.#soonestMs) this.#soonestMs = call.deadlineMs;
    }
  }

  /** To be called once, when a waiting call's state has become "dropped". */
  noteDropped(): void {
    this.#size -= 1;
    const holes = this.#calls.length - this.#size;
    if (holes > COMPACT_FROM && holes > this.#size) this.#compact();
  }

  /** Takes out those of which `wanted` says so, oldest first. */
  takeAll(wanted: (call: PendingCall) => boolean): PendingCall[] {
    const taken: PendingCall[] = [];
    const rest: PendingCall[] = [];
    this.#soonestMs = Number.POSITIVE_INFINITY;
    for (const call of this.#calls) {
      if (call?.state !== "queued") continue;
      if (wanted(call)) taken.push(call);
      else {
        rest.push(call);
        if (call.deadlineMs < this.#soonestMs) this.#soonestMs = call.deadlineMs;
      }
    }
    this.#calls = rest;
    this.#head = 0;
    this.#size = rest.length;
    return taken;
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
