import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { stopCluster } from "../cluster/stop.ts";
import { lockFor } from "./options.ts";

const LONGEST_GRACE_SEC = 86_400;

export const killCommand: Command = {
  name: "kill",
  about: "stop every process and sandbox of the cluster; calls that run may finish",
  options: {
    cluster: CLUSTER_OPTION,
    timeout: {
      kind: "text",
      value: "SECONDS",
      about: "how long running calls may take; default: limits.runtime_sec and 10 s",
    },
  },
  async run(args, context) {
    const seconds = args.wholeNumber("timeout", 0, LONGEST_GRACE_SEC);
    const { paths, identity } = await openCluster(args, context);
    await using _lock = await lockFor({ paths, identity }, "kill", context);
    return stopCluster(paths, seconds === undefined ? undefined : seconds * 1000, context);
  },
};
