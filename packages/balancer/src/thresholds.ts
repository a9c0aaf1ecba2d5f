import { balancerError } from "./errors.ts";
import type { Thresholds } from "./policies/policy.ts";

/** As the simulation found them best (docs/balancer.md). */
export const DEFAULT_LOW = 1;
export const DEFAULT_HIGH = 4;
/** Below this a set grows before what it grew for is over, and soon every worker holds everything. */
const LEAST_HIGH = 2;
const MOST = 10_000;

/**
 * When a worker counts as having little to do, and too much; in calls for each slot. Fails with OL_BALANCER_BAD_OPTION and the
 * reason for what is known to collapse.
 */
export const checkedThresholds = (low: number = DEFAULT_LOW, high: number = DEFAULT_HIGH): Thresholds => {
  if (!(low > 0 && low <= MOST)) throw bad(`load_low: ${low} is no number above 0`);
  if (!(high >= LEAST_HIGH && high <= MOST))
    throw bad(
      `load_high: ${high} must be from ${LEAST_HIGH} to ${MOST}, in calls for each slot of a worker: below ${LEAST_HIGH} every burst has one more worker import a function's packages, which delays the calls there and causes the next, until each worker holds everything and LARD is a slow round robin`,
    );
  if (low > high) throw bad(`load_low: ${low} is more than load_high, ${high}`);
  return { low, high };
};

const bad = (message: string): Error => balancerError("OL_BALANCER_BAD_OPTION", message);
