import type { Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import type { Cluster } from "../cluster/discover.ts";
import { DEFAULT_BALANCER_PORT, DEFAULT_POLICY, readBalancerPlan } from "./plan.ts";
import { balancerState, startBalancer, stopBalancer } from "./server.ts";
import { writeWorkerList } from "./worker-list.ts";

/** A load balancer that is ready. */
export interface ReadyBalancer {
  readonly url: string;
  /** It ran already, as it was wanted. */
  readonly ranAlready: boolean;
}

/**
 * Has the cluster's load balancer run, on this port and by this policy if they are given; replaces one that has others, after its
 * calls are done. Fails as `startBalancer`.
 */
export const bringUpBalancer = async (
  cluster: Cluster,
  wanted: { readonly port?: number | undefined; readonly policy?: string | undefined },
  context: Context,
): Promise<ReadyBalancer> => {
  const { paths } = cluster;
  const { output } = context;
  const plan = await readBalancerPlan(paths);
  const planned = {
    port: wanted.port ?? plan?.port ?? DEFAULT_BALANCER_PORT,
    policy: wanted.policy ?? plan?.policy ?? DEFAULT_POLICY,
  };
  await writeWorkerList(paths);
  if (balancerState(paths) === "running") {
    if (plan !== undefined && planned.port === plan.port && planned.policy === plan.policy)
      return { url: plan.url, ranAlready: true };
    await withProgress(output, "stopping the load balancer", stopBalancer(paths, context.signal));
  }
  const starting = startBalancer(cluster, planned, context);
  const url = await withProgress(output, "starting the load balancer", starting);
  return { url, ranAlready: false };
};
