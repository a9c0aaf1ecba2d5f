import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { stopCluster } from "../cluster/stop.ts";
import { lockFor } from "./options.ts";

export const downCommand: Command = {
  name: "down",
  about: "stop the whole cluster, after every call that runs; ol-admin up starts it again",
  options: { cluster: CLUSTER_OPTION },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "down", context);
    return stopCluster(cluster.paths, undefined, context);
  },
};
