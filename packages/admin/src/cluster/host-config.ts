import { existsSync } from "node:fs";

import { isOlError } from "@ol/common";

import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import { findClusterDirectory } from "./discover.ts";
import { clusterPaths } from "./paths.ts";

/** The first worker's configuration, or what it will be made from, if a cluster is named or found: it names the base. */
export const hostConfigFile = (args: Arguments, context: Context): string | undefined => {
  try {
    const paths = clusterPaths(findClusterDirectory(args, context));
    return [paths.workerConfig(0), paths.template].find((file) => existsSync(file));
  } catch (error) {
    // The machine, and its own base, can be looked at before there is a cluster.
    if (isOlError(error, "OL_ADMIN_NO_CLUSTER") && args.text("cluster") === undefined) return undefined;
    throw error;
  }
};
