import type { OlError } from "@ol/common";

import { CallQueue } from "./call-queue.ts";
import { lambdaError } from "./errors.ts";
import type { FunctionHost } from "./function-host.ts";
import type { PendingCall } from "./pending-call.ts";
import type { CallCounter } from "./stats.ts";

/** One function's calls that wait for a sandbox: bounded in number and time, and counted where they end. */
export class WaitingCalls {
  readonly #name: string;
  readonly #host: FunctionHost;
  readonly #counter: CallCounter;
  readonly #onDeadline: (nowMs: number) => void;
  readonly #queue = new CallQueue();
  #timer: NodeJS.Timeout | undefined;

  /** `onDeadline` is called after calls may have been refused for having waited too long. */
  constructor(name: string, host: FunctionHost, counter: CallCounter, onDeadline: (nowMs: number) => void) {
    this.#name = name;
    this.#host = host;
    this.#counter = counter;
    this.#onDeadline = onDeadline;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Takes a call in, or refuses it if too many wait; whether it was taken. */
  add(call: PendingCall): boolean {
    const full = this.#full();
    if (full === undefined) {
      this.#queue.push(call);
      this.#host.queued += 1;
      return true;
    }
    this.#countRefused(1);
    call.refuse(full);
    return false;
  }

  /** Takes a call back that was handed to a sandbox and did not start there: it comes next. */
  addFirst(call: PendingCall): void {
    this.#queue.unshift(call);
    this.#host.queued += 1;
  }

  /** Only while `size` is not 0. */
  next(): PendingCall {
    this.#host.queued -= 1;
    return this.#queue.shift() as PendingCall;
  }

  /** A call's client is gone. */
  noteDropped(): void {
    this.#queue.noteDropped();
    this.#host.queued -= 1;
    this.#counter.dropped += 1;
    this.#host.counter.dropped += 1;
    this.#host.callOver();
  }

  refuseAll(error: OlError): void {
    const calls = this.#queue.takeAll();
    this.#host.queued -= calls.length;
    this.#countRefused(calls.length);
    for (const call of calls) call.refuse(error);
    this.#host.callOver();
  }

  /** Refuses the calls whose deadline is over. */
  expire(nowMs: number): void {
    const waitedMs = this.#host.options.queueTimeoutMs;
    for (let call = this.#queue.peek(); call !== undefined; call = this.#queue.peek()) {
      if (call.deadlineMs > nowMs) break;
      this.next();
      this.#countRefused(1);
      const message = `no sandbox for ${this.#name} became free within ${waitedMs} ms`;
      call.refuse(lambdaError("OL_LAMBDA_QUEUE_TIMEOUT", message));
    }
    this.#host.callOver();
  }

  /** One timer for the whole queue: calls come in the order of their deadlines. It is left to run out. */
  armDeadline(nowMs: number): void {
    const call = this.#timer === undefined ? this.#queue.peek() : undefined;
    if (call === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const firedMs = performance.now();
        this.expire(firedMs);
        this.#onDeadline(firedMs);
      },
      Math.max(Math.ceil(call.deadlineMs - nowMs), 1),
    );
  }

  /** Refuses everybody, and nobody is to be added. */
  close(error: OlError): void {
    this.refuseAll(error);
    clearTimeout(this.#timer);
  }

  #full(): OlError | undefined {
    const { options, queued } = this.#host;
    if (this.#queue.size >= options.maxQueuedPerFunction)
      return lambdaError(
        "OL_LAMBDA_QUEUE_FULL",
        `${this.#queue.size} calls of ${this.#name} are waiting already`,
      );
    if (queued >= options.maxQueued)
      return lambdaError("OL_LAMBDA_WORKER_FULL", `${queued} calls are waiting on this worker already`);
    return undefined;
  }

  #countRefused(calls: number): void {
    this.#counter.refused += calls;
    this.#host.counter.refused += calls;
  }
}
