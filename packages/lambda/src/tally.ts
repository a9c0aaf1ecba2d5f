import type { OlError } from "@ol/common";

import type { PendingCall } from "./pending-call.ts";
import { CallCounter, CallTimes, type FunctionStats } from "./stats.ts";

/** Counts what becomes of one function's calls, and with them of those of all functions. */
export class Tally {
  readonly #own = new CallCounter();
  readonly #all: CallCounter;
  readonly #times = new CallTimes();

  constructor(all: CallCounter) {
    this.#all = all;
  }

  accepted(): void {
    this.#own.accepted += 1;
    this.#all.accepted += 1;
  }

  /** The lambda replied to it, with a failure of its own perhaps. */
  answered(call: PendingCall): void {
    this.#own.answered += 1;
    this.#all.answered += 1;
    this.#times.note(call);
    if (call.cold !== undefined) {
      this.#own.cold += 1;
      this.#all.cold += 1;
    }
    if (call.failure !== undefined) this.#failed(call.failure, 1);
  }

  /** It was begun, and ended before its reply was there. */
  cut({ code }: OlError): void {
    this.#own.cut += 1;
    this.#all.cut += 1;
    this.#failed(code, 1);
  }

  /** It was begun, and its client left. */
  left(): void {
    this.#own.left += 1;
    this.#all.left += 1;
  }

  /** So many were not begun. */
  refused(calls: number, { code }: OlError): void {
    if (calls === 0) return;
    this.#own.refused += calls;
    this.#all.refused += calls;
    this.#failed(code, calls);
  }

  /** It was not begun, since its client left before. */
  dropped(): void {
    this.#own.dropped += 1;
    this.#all.dropped += 1;
  }

  stats(): Pick<FunctionStats, "calls" | "phases" | "queueMs" | "runMs"> {
    return {
      calls: this.#own.snapshot(),
      phases: this.#times.totals(),
      queueMs: this.#times.queue.snapshot(),
      runMs: this.#times.run.snapshot(),
    };
  }

  #failed(cause: string, calls: number): void {
    this.#own.countError(cause, calls);
    this.#all.countError(cause, calls);
  }
}
