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
}

const REFUSED: ReadonlySet<number> = new Set([429, 503]);

const share = (count: number, of: number): number => (of === 0 ? 0 : count / of);

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
    failedShare: share(measured.length - answered.length - refused, measured.length),
  };
};

/** Each figure's mean over the runs. */
export const meanFigures = (runs: readonly Figures[]): Figures => {
  const mean = (field: keyof Figures): number => runs.reduce((sum, run) => sum + run[field], 0) / runs.length;
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
  };
};
