import { isOlError } from "@ol/common";

import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import { findClusterDirectory } from "./discover.ts";
import { clusterPaths } from "./paths.ts";

/**
 * What the next worker is made from, if a cluster is named or found: it names engine and base. Not what an earlier one was made
 * from, which may be another by now.
 */
export const hostConfigFile = (args: Arguments, context: Context): string | undefined => {
  try {
    return clusterPaths(findClusterDirectory(args, context)).template;
  } catch (error) {
    // The machine, and its own base, can be looked at before there is a cluster.
    if (isOlError(error, "OL_ADMIN_NO_CLUSTER") && args.text("cluster") === undefined) return undefined;
    throw error;
  }
};
