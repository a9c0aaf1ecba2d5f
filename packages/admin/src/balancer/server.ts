import type { Context } from "../cli/command.ts";
import type { Cluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { type Service, serviceState, startService, stopService } from "../process/service.ts";
import type { StopOutcome } from "../process/stop.ts";
import type { WorkerState } from "../worker/list.ts";
import { type PlannedBalancer, readBalancerPlan, writeBalancerPlan } from "./plan.ts";

/** On top of what it gives the calls that run: replies are written. */
const MARGIN_MS = 10_000;

const serviceOf = (paths: ClusterPaths): Service => ({
  name: "load balancer",
  unit: "load-balancer",
  failure: "OL_ADMIN_BALANCER_FAILED",
  configFile: paths.balancerConfig,
  outFile: paths.balancerOut,
  pidFile: paths.balancerPid,
});

/** Whether the cluster's load balancer runs. */
export const balancerState = (paths: ClusterPaths): WorkerState => serviceState(serviceOf(paths));

/** As `stopService`; without `graceMs` it has as long as its configuration gives the calls that run. */
export const stopBalancer = async (
  paths: ClusterPaths,
  interrupt: AbortSignal,
  graceMs?: number,
): Promise<StopOutcome> => {
  if (balancerState(paths) !== "running") return stopService(serviceOf(paths), interrupt, 0);
  const plan = await readBalancerPlan(paths);
  return stopService(serviceOf(paths), interrupt, graceMs ?? (plan?.drainMs ?? 0) + MARGIN_MS);
};

/** Writes config/load_balancer.json and starts the balancer by it, as `startService`. Fails with OL_ADMIN_BALANCER_FAILED, too. */
export const startBalancer = (
  cluster: Cluster,
  planned: PlannedBalancer,
  context: Context,
): Promise<string> => {
  const { paths } = cluster;
  const start = {
    port: planned.port,
    command: context.balancerCommand(),
    configure: () => writeBalancerPlan(paths, planned),
  };
  return startService(cluster, serviceOf(paths), start, context);
};
