import type { OlError } from "@ol/common";

import { timeLimitError } from "./call-errors.ts";
import type { CallStream } from "./call-stream.ts";
import { RESET_CODE } from "./codec.ts";
import type { ConnectionTimers } from "./connection-options.ts";
import type { OpenCalls } from "./open-calls.ts";
import { recallWaiting } from "./waiting-streams.ts";

/** Whoever is told that calls ran out of time. */
export interface DeadlineOwner {
  /** A call ran over its limit and heard `error`; the guest was told to end it. */
  expired(error: OlError): void;
  /** The guest has had its time to do so. */
  overdue(): void;
}

/** The time limits of a connection's open calls. */
export class Deadlines {
  readonly #calls: OpenCalls;
  readonly #timers: ConnectionTimers;
  readonly #owner: DeadlineOwner;
  /** When the first of several calls that run at once ran over its limit. */
  #expiredAtMs = Number.POSITIVE_INFINITY;

  constructor(calls: OpenCalls, timers: ConnectionTimers, owner: DeadlineOwner) {
    this.#calls = calls;
    this.#timers = timers;
    this.#owner = owner;
  }

  /** When to look at a call that was just opened. */
  firstOf(stream: CallStream): number {
    const runs = stream.previous === undefined || this.#calls.concurrent;
    return stream.startedAtMs + (runs ? stream.timeoutMs : stream.waitMs);
  }

  /** When to look first at calls that all began just now, as their code was loaded. */
  firstOfAll(): number {
    let firstMs = Number.POSITIVE_INFINITY;
    for (let stream = this.#calls.streams.first; stream !== undefined; stream = stream.next)
      firstMs = Math.min(firstMs, this.firstOf(stream));
    return firstMs;
  }

  /** Moves every deadline by a time in which the guest could not run. */
  shift(heldMs: number): void {
    this.#expiredAtMs += heldMs;
    for (let stream = this.#calls.streams.first; stream !== undefined; stream = stream.next)
      stream.shift(heldMs);
  }

  /** Whether, after a call ran over its limit, there is nothing more to wait for now that `stream` is over. */
  isLast(stream: CallStream): boolean {
    return this.#calls.streams.size === 0 || (stream.resetAtMs > 0 && !this.#calls.concurrent);
  }

  /** Looks at all of them; returns when to look again. */
  check(nowMs: number): number {
    return this.#calls.concurrent ? this.#checkAll(nowMs) : this.#checkFirst(nowMs);
  }

  /** Where calls run one at a time, only the first in line is running against its limit. */
  #checkFirst(nowMs: number): number {
    const running = this.#calls.streams.first;
    if (running === undefined) return Number.POSITIVE_INFINITY;
    if (running.resetAtMs > 0) {
      const dueMs = running.resetAtMs + this.#timers.resetMs;
      if (nowMs < dueMs) return dueMs;
      this.#owner.overdue();
      return Number.POSITIVE_INFINITY;
    }
    const dueMs = running.startedAtMs + running.timeoutMs;
    if (nowMs < dueMs) return Math.min(dueMs, this.#checkWaiting(running.next, nowMs));
    this.#expire(running, nowMs);
    return nowMs + this.#timers.resetMs;
  }

  /** Once the next call in line has waited for too long, all that wait are asked back; returns when to look again. */
  #checkWaiting(next: CallStream | undefined, nowMs: number): number {
    if (next === undefined) return Number.POSITIVE_INFINITY;
    const dueMs = next.startedAtMs + next.waitMs;
    if (nowMs < dueMs) return dueMs;
    recallWaiting(this.#calls.streams, (stream) => this.#calls.sendReset(stream, RESET_CODE.refused));
    return nowMs + next.waitMs;
  }

  /** Those that run over their limit do not end the others at once: these have a while to end by themselves. */
  #checkAll(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    let hopeful = false;
    for (let stream = this.#calls.streams.first; stream !== undefined; stream = stream.next) {
      if (stream.resetAtMs === 0 && nowMs >= stream.startedAtMs + stream.timeoutMs)
        this.#expire(stream, nowMs);
      const told = stream.resetAtMs > 0;
      const dueMs = told ? stream.resetAtMs + this.#timers.resetMs : stream.startedAtMs + stream.timeoutMs;
      // One that was told to end, and did not in its time, is not waited for.
      if (nowMs >= dueMs) continue;
      hopeful = true;
      nextMs = Math.min(nextMs, dueMs);
    }
    if (this.#expiredAtMs === Number.POSITIVE_INFINITY || this.#calls.streams.size === 0) return nextMs;
    const endMs = this.#expiredAtMs + this.#timers.graceMs;
    if (hopeful && nowMs < endMs) return Math.min(nextMs, endMs);
    this.#owner.overdue();
    return Number.POSITIVE_INFINITY;
  }

  #expire(stream: CallStream, nowMs: number): void {
    const error = timeLimitError(stream.timeoutMs, this.#calls.kind !== undefined);
    stream.resetAtMs = nowMs;
    this.#expiredAtMs = Math.min(this.#expiredAtMs, nowMs);
    this.#calls.sendReset(stream, RESET_CODE.deadline);
    stream.fail(error);
    this.#owner.expired(error);
  }
}
