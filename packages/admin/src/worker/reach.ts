import { readBalancerPlan } from "../balancer/plan.ts";
import { balancerState } from "../balancer/server.ts";
import type { Context } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError, errnoOf } from "../errors.ts";
import { urlOfConfig } from "./address.ts";
import { asClusterFlag } from "../text.ts";
import { ask } from "./http.ts";
import { listWorkers } from "./list.ts";

const PING_MS = 5000;

/** Base URLs of the workers whose process lives. */
export const runningUrls = async (paths: ClusterPaths): Promise<readonly string[]> => {
  const running = listWorkers(paths).filter(({ state, configured }) => state === "running" && configured);
  return Promise.all(running.map(({ configFile }) => urlOfConfig(configFile)));
};

/** The cluster's load balancer, if it has one that runs; then its workers. */
const doorsOf = async (paths: ClusterPaths): Promise<readonly string[]> => {
  const plan = await readBalancerPlan(paths);
  const isOpen = plan !== undefined && plan.url.startsWith("http:") && balancerState(paths) === "running";
  return [...(isOpen ? [plan.url] : []), ...(await runningUrls(paths))];
};

/** Where to call a lambda: the load balancer, else the first worker that says it is ready; fails with OL_ADMIN_NO_WORKER. */
export const readyUrl = async (paths: ClusterPaths, context: Pick<Context, "signal">): Promise<string> => {
  const urls = await doorsOf(paths);
  for (const url of urls) {
    try {
      const reply = await ask(`${url}/status`, { deadlineMs: PING_MS, signal: context.signal });
      if (reply.status === 200) return url;
    } catch (error) {
      if (context.signal.aborted) throw error;
      // The next one may answer; if none does, that is said below.
      if (errnoOf(error) === undefined && !(error instanceof Error)) throw error;
    }
  }
  const why = urls.length === 0 ? "no worker of this cluster runs" : `no worker answers (${urls.join(", ")})`;
  throw adminError(
    "OL_ADMIN_NO_WORKER",
    `${why}; start one with: npx ol-admin workers ${asClusterFlag(paths.root)}`,
  );
};
