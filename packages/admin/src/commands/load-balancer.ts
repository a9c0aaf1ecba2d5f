import { BALANCER_SCHEMA } from "@ol/config";

import { bringUpBalancer } from "../balancer/bring-up.ts";
import { DEFAULT_BALANCER_PORT, DEFAULT_POLICY } from "../balancer/plan.ts";
import { stopBalancer } from "../balancer/server.ts";
import { type Arguments, usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { shown } from "../text.ts";
import { listWorkers } from "../worker/list.ts";
import { clusterFlag, lockFor } from "./options.ts";

const POLICIES = (BALANCER_SCHEMA.properties?.["policy"]?.enum ?? []).map(String);
const STOPPED = {
  "was-gone": "no load balancer was running",
  ended: "load balancer stopped",
  killed: "load balancer killed, since it did not stop in time",
};

/** As the schema spells it, whatever the case. */
const policyIn = (args: Arguments): string | undefined => {
  const named = args.text("policy");
  if (named === undefined) return undefined;
  const policy = POLICIES.find((one) => one.toLowerCase() === named.toLowerCase());
  if (policy === undefined)
    throw usageError(`--policy must be one of ${POLICIES.join(", ")}, not ${shown(named)}`);
  return policy;
};

const start = async (args: Arguments, context: Context, cluster: Cluster): Promise<number> => {
  const { output } = context;
  const wanted = { port: args.wholeNumber("port", 1, 65_535), policy: policyIn(args) };
  const { url, ranAlready } = await bringUpBalancer(cluster, wanted, context);
  output.result(`load balancer ready at ${url}`);
  if (ranAlready) output.message("it ran already");
  const running = listWorkers(cluster.paths).filter(({ state }) => state === "running");
  const flag = clusterFlag(args, cluster.paths);
  if (running.length === 0)
    output.message(`there is no worker yet; start some with: npx ol-admin workers ${flag}`);
  return 0;
};

export const loadBalancerCommand: Command = {
  name: "load-balancer",
  about: "start the cluster's load balancer in the background; it sends calls to the workers that run",
  options: {
    cluster: CLUSTER_OPTION,
    port: {
      kind: "text",
      value: "P",
      about: `the port it listens on; default: the one it had, else ${DEFAULT_BALANCER_PORT}`,
    },
    policy: {
      kind: "text",
      value: "NAME",
      about: `how it chooses a worker: ${POLICIES.join(", ")}; default: the one it had, else ${DEFAULT_POLICY}`,
    },
    stop: { kind: "flag", about: "stop it, after the calls that run; workers run on" },
  },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "load-balancer", context);
    if (!args.flag("stop")) return start(args, context, cluster);
    const stopping = stopBalancer(cluster.paths, context.signal);
    context.output.message(
      STOPPED[await withProgress(context.output, "stopping the load balancer", stopping)],
    );
    return 0;
  },
};
