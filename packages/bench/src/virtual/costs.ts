/** What work costs on one kind of machine; CPU time in ms, as if nobody else wanted the CPU. */
export interface Costs {
  /** Whoever calls, for each call; one thread for all callers. */
  readonly clientMs: number;
  /** The balancer's process, for each call that goes through it. */
  readonly balancerMs: number;
  /** The worker's process, for each call. */
  readonly workerMs: number;
  /** A sandbox, for each call besides what the lambda's own code does. */
  readonly guestMs: number;
  /** What a call in a sandbox takes besides, without the CPU: waking up late, mostly. */
  readonly lateMs: number;
  /** The broker's process, for each sandbox. */
  readonly forkMs: number;
  /** The same, beside the call that waits for it: the leaf that takes the place of the one that was taken, scratch, limits. */
  readonly restockMs: number;
  /** A sandbox until its code is loaded, without what it imports. */
  readonly loadMs: number;
  /** How many times as long importing packages takes as the lambda's figures say. */
  readonly importFactor: number;
  /** Ending a sandbox, until its memory is back; for one that has imported nothing, and for each MB that it has. */
  readonly destroyMs: number;
  readonly destroyMsPerMb: number;
  /** Making a zygote, besides what it imports. */
  readonly zygoteMs: number;
  /** What a sandbox holds that has imported nothing, in MB. */
  readonly guestMb: number;
  /** See CpuOptions. */
  readonly efficiency: number;
}

/** Round figures of no machine in particular, in the order of those in docs/benchmarks.md: what is to be compared everywhere is played with them. */
export const DEFAULT_COSTS: Costs = {
  clientMs: 0.12,
  balancerMs: 0.15,
  workerMs: 0.15,
  guestMs: 0.08,
  lateMs: 0.1,
  forkMs: 3,
  restockMs: 3,
  loadMs: 4,
  importFactor: 1,
  destroyMs: 3,
  destroyMsPerMb: 0.05,
  zygoteMs: 20,
  guestMb: 8,
  efficiency: 1,
};

/** Costs on a machine on which all work takes so many times as long. */
export const slowed = (costs: Costs, times: number): Costs => ({
  ...costs,
  clientMs: costs.clientMs * times,
  balancerMs: costs.balancerMs * times,
  workerMs: costs.workerMs * times,
  guestMs: costs.guestMs * times,
  forkMs: costs.forkMs * times,
  restockMs: costs.restockMs * times,
  loadMs: costs.loadMs * times,
  importFactor: costs.importFactor * times,
  destroyMs: costs.destroyMs * times,
  destroyMsPerMb: costs.destroyMsPerMb * times,
  zygoteMs: costs.zygoteMs * times,
});
