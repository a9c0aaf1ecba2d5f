import type { Outcome } from "../calls/http-call.ts";
import { quantile } from "../statistics.ts";

/** The time that is measured: what comes before warms up, what comes after only ends. */
export interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

/** How a policy did in one run, or in several on average. */
export interface Figures {
  /** Replies a second. */
  readonly perSec: number;
  /** From when a call should have been sent. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What 99 in 100 of the calls that were answered waited for at most, as in Outcome. */
  readonly p99QueueMs: number;
  /** The mean of that. */
  readonly meanQueueMs: number;
  /** Of the calls that were answered, those that waited for a new sandbox. */
  readonly coldShare: number;
  /** Sandboxes that imported packages themselves, for each call that was answered. */
  readonly importShare: number;
  /** Of all calls, those that were told to come again later. */
  readonly refusedShare: number;
  /** Of all calls, those that came to nothing in another way. */
  readonly failedShare: number;
  /** What those were, and how many of each. */
  readonly failures: Readonly<Record<string, number>>;
}

const REFUSED: ReadonlySet<number> = new Set([429, 503]);

const share = (count: number, of: number): number => (of === 0 ? 0 : count / of);

/** Sums what several say. */
export const countFailures = (
  several: readonly Readonly<Record<string, number>>[],
): Readonly<Record<string, number>> => {
  const counts = new Map<string, number>();
  for (const failures of several)
    for (const [what, count] of Object.entries(failures)) counts.set(what, (counts.get(what) ?? 0) + count);
  return Object.fromEntries(counts);
};

/**
 * Figures of the measured time. `by`: whether a call belongs to it by its end, as where clients wait for it, or by when it was due, as where
 * calls come whatever happens: then also those count that were answered long after. `imports` is how many sandboxes imported packages then.
 */
export const figuresOf = (
  outcomes: readonly Outcome[],
  { fromMs, toMs }: Window,
  by: "end" | "due",
  imports: number,
): Figures => {
  const measured = outcomes.filter(({ dueMs, endMs }) => {
    const atMs = by === "end" ? endMs : dueMs;
    return atMs >= fromMs && atMs < toMs;
  });
  const answered = measured.filter(({ status }) => status === 200);
  const refused = measured.filter(({ status }) => REFUSED.has(status)).length;
  const failed = measured.filter(({ status }) => status !== 200 && !REFUSED.has(status));
  const sorted = answered.map(({ dueMs, endMs }) => endMs - dueMs).sort((one, other) => one - other);
  const waits = answered.map(({ queueMs }) => queueMs).sort((one, other) => one - other);
  return {
    perSec: (answered.length * 1_000) / (toMs - fromMs),
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    p99QueueMs: quantile(waits, 0.99),
    meanQueueMs: share(
      waits.reduce((sum, ms) => sum + ms, 0),
      waits.length,
    ),
    coldShare: share(answered.filter(({ cold }) => cold).length, answered.length),
    importShare: share(imports, answered.length),
    refusedShare: share(refused, measured.length),
    failedShare: share(failed.length, measured.length),
    failures: countFailures(failed.map(({ status, problem }) => ({ [problem ?? `status ${status}`]: 1 }))),
  };
};

/** Each figure's mean over the runs; and all their failures. */
export const meanFigures = (runs: readonly Figures[]): Figures => {
  const mean = (field: Exclude<keyof Figures, "failures">): number =>
    runs.reduce((sum, run) => sum + run[field], 0) / runs.length;
  return {
    perSec: mean("perSec"),
    p50Ms: mean("p50Ms"),
    p99Ms: mean("p99Ms"),
    p99QueueMs: mean("p99QueueMs"),
    meanQueueMs: mean("meanQueueMs"),
    coldShare: mean("coldShare"),
    importShare: mean("importShare"),
    refusedShare: mean("refusedShare"),
    failedShare: mean("failedShare"),
    failures: countFailures(runs.map(({ failures }) => failures)),
  };
};
