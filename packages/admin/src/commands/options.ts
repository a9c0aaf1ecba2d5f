import type { HeldLock } from "@ol/common";

import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import type { Cluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { asClusterFlag } from "../text.ts";
import { lockCluster } from "../cluster/lock.ts";

/** Takes the cluster's lock, and says so when it has to wait for another ol-admin. */
export const lockFor = (cluster: Cluster, command: string, context: Context): Promise<HeldLock> => {
  let said = false;
  const waiting = (what: string): void => {
    if (!said) context.output.message(`waiting for ol-admin ${what} to finish`);
    said = true;
  };
  const lock = lockCluster(cluster.identity.id, command, { waiting, signal: context.signal });
  return withProgress(context.output, "waiting for the cluster's lock", lock);
};

/** How the cluster is called in a command that a person is to type. */
export const clusterFlag = (args: Arguments, paths: ClusterPaths): string =>
  asClusterFlag(args.text("cluster") ?? paths.root);
