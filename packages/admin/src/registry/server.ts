import type { Context } from "../cli/command.ts";
import type { Cluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { type Service, serviceState, startService, stopService } from "../process/service.ts";
import type { StopOutcome } from "../process/stop.ts";
import type { WorkerState } from "../worker/list.ts";
import { type PlannedRegistry, writeRegistryPlan } from "./plan.ts";

/** An upload of a large bundle may be under way. */
const GRACE_MS = 40_000;
/** Each write that waits for the disk holds a thread of Node's pool; the process cannot enlarge it once it runs. */
const DISK_THREADS = { UV_THREADPOOL_SIZE: "16" };

const serviceOf = (paths: ClusterPaths): Service => ({
  name: "registry",
  unit: "registry",
  failure: "OL_ADMIN_REGISTRY_FAILED",
  configFile: paths.registryConfig,
  outFile: paths.registryOut,
  pidFile: paths.registryPid,
});

/** Whether the cluster's own registry runs. */
export const registryState = (paths: ClusterPaths): WorkerState => serviceState(serviceOf(paths));

/** As `stopService`. */
export const stopRegistry = (
  paths: ClusterPaths,
  interrupt: AbortSignal,
  graceMs: number = GRACE_MS,
): Promise<StopOutcome> => stopService(serviceOf(paths), interrupt, graceMs);

/** Writes config/registry.json and starts the registry by it, as `startService`. Fails with OL_ADMIN_REGISTRY_FAILED, too. */
export const startRegistry = (
  cluster: Cluster,
  planned: PlannedRegistry,
  context: Context,
): Promise<string> => {
  const { paths } = cluster;
  const start = {
    port: planned.port,
    command: context.registryCommand(),
    environment: DISK_THREADS,
    configure: () => writeRegistryPlan(paths, planned),
  };
  return startService(cluster, serviceOf(paths), start, context);
};
