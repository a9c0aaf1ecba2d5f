import type { Arguments } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { readRegistryPlan } from "../registry/plan.ts";
import { registryState } from "../registry/server.ts";
import { bringUpWorkers } from "../worker/bring-up.ts";
import { listWorkers } from "../worker/list.ts";
import { clusterFlag, lockFor } from "./options.ts";

const MOST_WORKERS = 1000;

const workers = async (args: Arguments, context: Context): Promise<number> => {
  const asked = args.wholeNumber("num-workers", 1, MOST_WORKERS);
  const port = args.wholeNumber("port", 1, 65_535);
  const cluster = await openCluster(args, context);
  await using _lock = await lockFor(cluster, "workers", context);
  const isRunning = listWorkers(cluster.paths).some(({ state }) => state === "running");
  const restart = args.flag("restart");
  // A restart without a number starts nothing new, only what died.
  const count = asked ?? (restart && isRunning ? 0 : 1);
  const code = await bringUpWorkers(cluster, { count, port, restart }, context);
  if ((await readRegistryPlan(cluster.paths)) !== undefined && registryState(cluster.paths) !== "running")
    context.output.message(
      `the cluster's registry does not run; until it does, workers have only the code they know: npx ol-admin registry ${clusterFlag(args, cluster.paths)}`,
    );
  if (code === 0)
    context.output.message(
      `they run on in the background; stop them with: npx ol-admin kill ${clusterFlag(args, cluster.paths)}`,
    );
  return code;
};

export const workersCommand: Command = {
  name: "workers",
  about: "start workers in the background; restart those that died",
  options: {
    cluster: CLUSTER_OPTION,
    "num-workers": {
      kind: "text",
      value: "N",
      about: "how many to start, those that died included; default 1",
    },
    port: {
      kind: "text",
      value: "P",
      about: "the first one's port, the others count up; default: after those that run, else the template's",
    },
    restart: { kind: "flag", about: "replace the running ones, each after its calls are done" },
  },
  run: workers,
};
