import type { Thresholds } from "../policies/policy.ts";

/** How large a worker is at the moment, and the most calls that it is sent. */
export interface Size {
  readonly slots: number;
  readonly most: number;
}

/**
 * How many calls all workers together are sent at once; more wait at the balancer. One less than would let every worker be
 * above `high` (Pai et al. 1998): there is always one then to which a call can be moved.
 */
export const admissionLimit = (sizes: readonly Size[], { low, high }: Thresholds): number => {
  let sum = 0;
  let most = 0;
  let largest = 0;
  for (const size of sizes) {
    sum += size.slots;
    most += size.most;
    largest = Math.max(largest, size.slots);
  }
  const limit = sizes.length > 1 ? high * (sum - largest) + low * largest : high * sum;
  return Math.min(Math.max(Math.floor(limit), 1), most);
};
