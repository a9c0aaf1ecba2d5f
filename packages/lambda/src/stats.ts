import type { CodeKind } from "@ol/sandbox";

import type { CodeState } from "./code-state.ts";
import type { InstanceState } from "./instance.ts";
import type { PackageStats } from "./packages/package-source.ts";
import type { CallPhases, PendingCall } from "./pending-call.ts";
import type { ZygoteStats } from "./zygotes/zygote-keeper.ts";

/** Calls since the function was loaded (or the manager made), by how they ended. */
export interface CallCounts {
  /** Calls that came: each ends as one of the next five, or waits or runs. */
  readonly accepted: number;
  /** Replied by the lambda, errors of its own included. */
  readonly answered: number;
  /** Cut short: exit, crash, memory, time. */
  readonly cut: number;
  /** Begun, and ended before its reply was there, since the client left. */
  readonly left: number;
  /** Never started: queue full, deadline, no such code. */
  readonly refused: number;
  /** Never started because the client left. */
  readonly dropped: number;
  /** Of those answered, the ones that waited for a new sandbox. */
  readonly cold: number;
  /** By what went wrong: exception, bad-input, bad-output, or an error's code. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Where the time of the calls that were answered went, in ms, all of them together. */
export type PhaseTotals = CallPhases;

/** How many values were at most so large. */
export interface HistogramStats {
  /** Upper bounds, in ms. */
  readonly bounds: readonly number[];
  /** How many values lie between a bound and the one before it; the last counts those above every bound. */
  readonly counts: readonly number[];
  /** All values together, in ms. */
  readonly sum: number;
}

/** One function's numbers. */
export interface FunctionStats {
  readonly name: string;
  readonly code: CodeState["kind"];
  /** Whether packages of newer code than that are being installed. */
  readonly installing: boolean;
  /** What the code is; undefined before a sandbox has loaded it. */
  readonly kind: CodeKind | undefined;
  readonly digest: string | undefined;
  /** Why the newest code is not run, in words for its author; undefined if it is. */
  readonly fault: string | undefined;
  /** Since when the registry could not say whether the code is the newest, as of Date.now(); undefined if it can. */
  readonly staleSinceMs: number | undefined;
  readonly queued: number;
  readonly running: number;
  readonly instances: Readonly<Partial<Record<InstanceState, number>>>;
  readonly meanRunMs: number | undefined;
  readonly tailRunMs: number | undefined;
  readonly meanStartMs: number;
  readonly calls: CallCounts;
  readonly phases: PhaseTotals;
  readonly queueMs: HistogramStats;
  readonly runMs: HistogramStats;
}

/** One sandbox of a function. */
export interface SandboxStats {
  readonly id: string;
  readonly lambda: string;
  /** Its instance's; `paused` for an idle one whose processes are stopped. */
  readonly state: InstanceState | "paused";
  readonly ageMs: number;
  readonly memoryMb: number;
}

/** A snapshot; holds no host path and no environment value. */
export interface LambdaStats {
  readonly slots: number;
  readonly running: number;
  readonly queued: number;
  /** Replies that have arrived in full, hold no sandbox, and are not read to the end. */
  readonly unread: number;
  readonly calls: CallCounts;
  readonly functions: readonly FunctionStats[];
  readonly sandboxes: readonly SandboxStats[];
  /** Undefined where sandboxes are forked from no zygotes with packages. */
  readonly zygotes: ZygoteStats | undefined;
  /** Undefined where nothing is installed. */
  readonly packages: PackageStats | undefined;
}

/** CallCounts while they are being counted. */
export class CallCounter implements CallCounts {
  accepted = 0;
  answered = 0;
  cut = 0;
  left = 0;
  refused = 0;
  dropped = 0;
  cold = 0;
  readonly errors: Record<string, number> = {};

  countError(cause: string, calls = 1): void {
    this.errors[cause] = (this.errors[cause] ?? 0) + calls;
  }

  snapshot(): CallCounts {
    const { accepted, answered, cut, left, refused, dropped, cold, errors } = this;
    return { accepted, answered, cut, left, refused, dropped, cold, errors: { ...errors } };
  }
}

/** From what a warm call takes to the longest that a call may by default; in ms. */
const BOUNDS_MS = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
] as const;

/** Counts times by their size. */
export class Histogram {
  readonly #counts: number[] = [...BOUNDS_MS.map(() => 0), 0];
  #sum = 0;

  observe(ms: number): void {
    let at = 0;
    // Most are small: the first bounds are tried first.
    while (at < BOUNDS_MS.length && ms > (BOUNDS_MS[at] as number)) at += 1;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sum += ms;
  }

  snapshot(): HistogramStats {
    return { bounds: BOUNDS_MS, counts: [...this.#counts], sum: this.#sum };
  }
}

/** The times of one function's calls. */
export class CallTimes {
  readonly queue: Histogram = new Histogram();
  readonly run: Histogram = new Histogram();
  #memoryMs = 0;
  #forkMs = 0;
  #importMs = 0;

  note(call: PendingCall): void {
    const { cold } = call;
    if (cold === undefined) {
      this.queue.observe(call.runningSinceMs - call.sinceMs);
      this.run.observe(call.endedMs - call.runningSinceMs);
      return;
    }
    const { queueMs, memoryMs, forkMs, importMs, runMs } = call.phases() as CallPhases;
    this.queue.observe(queueMs);
    this.run.observe(runMs);
    this.#memoryMs += memoryMs;
    this.#forkMs += forkMs;
    this.#importMs += importMs;
  }

  totals(): PhaseTotals {
    return {
      queueMs: this.queue.snapshot().sum,
      memoryMs: this.#memoryMs,
      forkMs: this.#forkMs,
      importMs: this.#importMs,
      runMs: this.run.snapshot().sum,
    };
  }
}
