import type { RegistryClient } from "@ol/registry-client";

import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { asClusterFlag } from "../text.ts";
import { connectRegistry, type Purpose } from "./access.ts";

/** The cluster's registry, for what a directory cannot do. Fails with OL_ADMIN_REGISTRY if it is one. */
export const connectStore = async (
  purpose: Purpose,
  args: Arguments,
  context: Pick<Context, "environment">,
  paths: ClusterPaths,
): Promise<RegistryClient> => {
  const client = await connectRegistry(purpose, args, context, paths);
  if (client !== undefined) return client;
  throw adminError(
    "OL_ADMIN_REGISTRY",
    `the cluster's registry is a directory, which has no versions; start one that has with: npx ol-admin registry ${asClusterFlag(paths.root)}`,
  );
};
