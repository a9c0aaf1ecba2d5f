import type { MixedLambda } from "../mixed/workload.ts";
import type { Costs } from "../virtual/costs.ts";
import type { CallPattern } from "../virtual/call-pattern.ts";
import type { PackageCosts, VirtualLambda } from "../virtual/lambdas.ts";
import type { VirtualRunOptions, VirtualRun } from "../virtual/virtual-run.ts";

/** What is played in virtual time: the same as to the real cluster. */
export interface SimulatedCluster {
  readonly lambdas: readonly MixedLambda[];
  readonly seed: number;
  readonly workers: number;
  readonly slots: number;
  /** Of each worker, for sandboxes and zygotes. */
  readonly memoryMb: number;
  readonly sandboxMb: number;
  /** All of the cluster, and whoever calls, share so many. */
  readonly cores: number;
  readonly costs: Costs;
  readonly packages: PackageCosts;
  readonly skew: number;
  readonly runMs: number;
  readonly clients: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** One policy in virtual time. */
export interface SimulatedFigures {
  readonly saturated: VirtualRun;
  readonly half: VirtualRun;
}

/** Many runs in virtual time, in whatever order and way; see `sweep` and `simulateWorkers`. */
export type Simulate = (runs: readonly VirtualRunOptions[]) => Promise<readonly VirtualRun[]>;

/** A lambda that imports its packages and then waits for each call. */
export const virtualLambda = ({ name, pins }: MixedLambda, runMs: number): VirtualLambda => ({
  name,
  pins,
  waitMs: runMs,
  cpuMs: 0,
  spread: "fixed",
  loadMs: 0,
});

/** Plays the workload to each policy in virtual time: all workers busy, and with half of what the best answers then. */
export const simulatePolicies = async (
  policies: readonly string[],
  cluster: SimulatedCluster,
  simulate: Simulate,
): Promise<readonly SimulatedFigures[]> => {
  const { lambdas, seed, workers, slots, memoryMb, sandboxMb, cores, costs, packages } = cluster;
  const { runMs, warmupMs, measureMs } = cluster;
  const draw = { by: "popularity", skew: cluster.skew } as const;
  const runOf = (policy: string, calls: CallPattern): VirtualRunOptions => ({
    seed,
    cores,
    costs,
    lambdas: lambdas.map((lambda) => virtualLambda(lambda, runMs)),
    packages,
    worker: { slots, memoryMb, sandboxMb },
    cluster: { workers, policy },
    calls,
    warmupMs,
    measureMs,
  });
  const runsOf = (calls: CallPattern): Promise<readonly VirtualRun[]> =>
    simulate(policies.map((policy) => runOf(policy, calls)));
  const saturated = await runsOf({ kind: "closed", clients: cluster.clients, draw });
  const perSec = Math.max(...saturated.map((run) => run.perSec)) / 2;
  const half = await runsOf({ kind: "open", perSec, draw });
  return saturated.map((run, at) => ({ saturated: run, half: half[at] as VirtualRun }));
};
