import type { OlError } from "@ol/common";

import type { CallNews } from "./call-news.ts";
import { CallQueue } from "./call-queue.ts";
import { lambdaError } from "./errors.ts";
import type { FunctionHost } from "./function-host.ts";
import type { PendingCall } from "./pending-call.ts";
import { queueLimit } from "./policy.ts";
import type { Tally } from "./tally.ts";

/** How exactly a deadline is kept. Calls that come with a deadline of their own are looked through all at once. */
const DEADLINE_STEP_MS = 10;

/** Whose calls wait. */
export interface WaitingOwner {
  /** Calls may have been refused for having waited too long. */
  deadline(nowMs: number): void;
  /** What they wait for is the installation of packages. */
  awaitsPackages(): boolean;
}

/** Who hears what becomes of the calls. */
export interface WaitingReport {
  readonly tally: Tally;
  readonly news: CallNews;
}

/** One function's calls that wait for a sandbox: bounded in number and time, and counted where they end. */
export class WaitingCalls {
  readonly #name: string;
  readonly #host: FunctionHost;
  readonly #tally: Tally;
  readonly #news: CallNews;
  readonly #owner: WaitingOwner;
  readonly #queue = new CallQueue();
  #timer: NodeJS.Timeout | undefined;
  /** When it fires. */
  #timerMs = Number.POSITIVE_INFINITY;

  constructor(name: string, host: FunctionHost, { tally, news }: WaitingReport, owner: WaitingOwner) {
    this.#name = name;
    this.#host = host;
    this.#tally = tally;
    this.#news = news;
    this.#owner = owner;
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Takes a call in, or refuses it if `max` of this function or too many of all wait; whether it was taken. */
  add(call: PendingCall, max: number): boolean {
    const full = this.#full(max);
    if (full === undefined) {
      this.#queue.push(call);
      this.#host.queued += 1;
      this.#news.entered(call, this.#queue.size, this.#host.queued, false);
      return true;
    }
    this.#tally.refused(1, full);
    this.#news.refused(call, full.code);
    call.refuse(full);
    return false;
  }

  /** Takes a call back that was handed to a sandbox and did not start there: it comes next. */
  addFirst(call: PendingCall): void {
    this.#queue.unshift(call);
    this.#host.queued += 1;
    this.#news.entered(call, this.#queue.size, this.#host.queued, true);
  }

  /** Only while `size` is not 0. */
  next(): PendingCall {
    this.#host.queued -= 1;
    const call = this.#queue.shift() as PendingCall;
    this.#news.left(call);
    return call;
  }

  /** A call's client is gone. */
  noteDropped(call: PendingCall): void {
    this.#queue.noteDropped();
    this.#news.dropped(call);
    this.#host.queued -= 1;
    this.#tally.dropped();
    this.#host.callOver();
  }

  /** Nobody waits any more, perhaps for ever: of a function that is forgotten now no timer is left. */
  refuseAll(error: OlError): void {
    clearTimeout(this.#timer);
    this.#timerMs = Number.POSITIVE_INFINITY;
    const calls = this.#queue.takeAll(() => true);
    this.#host.queued -= calls.length;
    this.#tally.refused(calls.length, error);
    for (const call of calls) {
      this.#news.refused(call, error.code);
      call.refuse(error);
    }
    this.#host.callOver();
  }

  /** Those that wait may do so for that long, unless their callers said otherwise. */
  waitLonger(waitMs: number): void {
    this.#queue.waitLonger(waitMs);
  }

  /** Refuses calls whose deadline is over, if there may be any: before others are handed on. */
  expireIfDue(nowMs: number): void {
    if (this.#queue.soonestMs <= nowMs) this.expire(nowMs);
  }

  /** Refuses the calls whose deadline is over. */
  expire(nowMs: number): void {
    const late = this.#queue.takeAll((call) => call.deadlineMs <= nowMs);
    this.#host.queued -= late.length;
    for (const call of late) {
      const waitedMs = Math.round(call.deadlineMs - call.sinceMs);
      const error = this.#owner.awaitsPackages()
        ? stillInstalling(this.#name)
        : lambdaError(
            "OL_LAMBDA_QUEUE_TIMEOUT",
            `no sandbox for ${this.#name} became free within ${waitedMs} ms`,
          );
      this.#tally.refused(1, error);
      this.#news.refused(call, error.code);
      call.refuse(error);
    }
    this.#host.callOver();
  }

  /** One timer for the whole queue, set for the call whose deadline comes first; it is left to run out. */
  armDeadline(nowMs: number): void {
    if (this.#queue.size === 0 || nowMs >= this.#timerMs - DEADLINE_STEP_MS) return;
    const dueMs = this.#queue.soonestMs;
    if (dueMs >= this.#timerMs - DEADLINE_STEP_MS) return;
    clearTimeout(this.#timer);
    this.#timerMs = dueMs;
    this.#timer = setTimeout(
      () => {
        this.#timerMs = Number.POSITIVE_INFINITY;
        const firedMs = performance.now();
        this.expire(firedMs);
        this.#owner.deadline(firedMs);
        this.armDeadline(performance.now());
      },
      Math.max(Math.ceil(dueMs - nowMs), 1),
    );
  }

  /** Refuses everybody, and nobody is to be added. */
  close(error: OlError): void {
    this.refuseAll(error);
  }

  #full(max: number): OlError | undefined {
    const { options, queued } = this.#host;
    const snapshot = { own: this.#queue.size, ownMax: max, all: queued, allMax: options.maxQueued };
    const limit = queueLimit(snapshot);
    if (limit === "function")
      return lambdaError(
        "OL_LAMBDA_QUEUE_FULL",
        `${this.#queue.size} calls of ${this.#name} are waiting already`,
      );
    if (limit === "worker")
      return lambdaError("OL_LAMBDA_WORKER_FULL", `${queued} calls are waiting on this worker already`);
    return undefined;
  }
}

/** What whoever waited for install_wait_ms hears. */
export const stillInstalling = (lambda: string): OlError =>
  lambdaError("OL_LAMBDA_INSTALLING", `the packages of ${lambda} are still being installed; call again`);
