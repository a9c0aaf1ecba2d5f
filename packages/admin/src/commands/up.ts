import { bringUpBalancer } from "../balancer/bring-up.ts";
import { readBalancerPlan } from "../balancer/plan.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { bringUpRegistry } from "../registry/bring-up.ts";
import { readRegistryPlan } from "../registry/plan.ts";
import { bringUpWorkers } from "../worker/bring-up.ts";
import { listWorkers } from "../worker/list.ts";
import { clusterFlag, lockFor } from "./options.ts";

const startRegistry = async (cluster: Cluster, context: Context): Promise<void> => {
  if ((await readRegistryPlan(cluster.paths)) === undefined) return;
  const { url } = await bringUpRegistry(cluster, {}, context);
  context.output.result(`registry ready at ${url}`);
};

/** As many as are planned; more that run already stay. */
const startWorkers = (cluster: Cluster, context: Context): Promise<number> => {
  const running = listWorkers(cluster.paths).filter(({ state }) => state === "running");
  return bringUpWorkers(cluster, { count: cluster.identity.plan.workers - running.length }, context);
};

/** Last: it has somewhere to send calls to, from the first one on. */
const startBalancer = async (cluster: Cluster, context: Context): Promise<void> => {
  if ((await readBalancerPlan(cluster.paths)) === undefined) return;
  const { url } = await bringUpBalancer(cluster, {}, context);
  context.output.result(`load balancer ready at ${url}`);
};

export const upCommand: Command = {
  name: "up",
  about: "start the whole cluster as it was planned: its registry, its workers, its load balancer",
  options: { cluster: CLUSTER_OPTION },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "up", context);
    await startRegistry(cluster, context);
    const code = await startWorkers(cluster, context);
    await startBalancer(cluster, context);
    if (code === 0)
      context.output.message(
        `it runs on in the background; stop it with: npx ol-admin down ${clusterFlag(args, cluster.paths)}`,
      );
    return code;
  },
};
