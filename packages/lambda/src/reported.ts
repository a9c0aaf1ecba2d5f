import type { LoadReport } from "@ol/common";

/** What balancers are told of a function. */
export interface ReportedFunction {
  readonly name: string;
  /** packageKey of what its requirements name; absent if they name nothing. */
  readonly key?: string;
  /** How long a call may run. */
  readonly limitMs: number;
  /** How long a call runs, with a sandbox there; absent before one was measured. */
  readonly runMs?: number;
  /** How long its sandboxes take to start, imports included; absent before one was measured. */
  readonly startMs?: number;
}

/** What balancers are told of a worker: everything, or what has changed since an epoch that they know. */
export interface ReportedState {
  readonly load: LoadReport;
  readonly epoch: number;
  /** The longest that a call waits before it begins. */
  readonly waitMs: number;
  /** Functions with a sandbox that has their code loaded. */
  readonly warm?: readonly string[];
  /** Instead of `warm`: changes as X-OL-Warm has them, and since when. */
  readonly since?: number;
  readonly changes?: readonly string[];
  /** Keys of package sets of which a zygote here has everything. */
  readonly zygotes: readonly string[];
  /** All that are known, or those that have changed. */
  readonly functions: readonly ReportedFunction[];
}

/** A start time is told again once it has changed by so much. */
const START_FACTOR = 1.5;

/** Whether a balancer would place calls in another way if it knew. */
export const differs = (told: ReportedFunction | undefined, now: ReportedFunction | undefined): boolean => {
  if (told === undefined || now === undefined) return told !== now;
  if (told.key !== now.key || told.limitMs !== now.limitMs) return true;
  if (told.startMs === undefined || now.startMs === undefined) return told.startMs !== now.startMs;
  const factor = now.startMs / told.startMs;
  return factor > START_FACTOR || factor < 1 / START_FACTOR;
};
