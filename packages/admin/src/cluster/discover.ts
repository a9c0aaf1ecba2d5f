import { existsSync, readdirSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";

import { systemReason } from "@ol/common";
import { type ClusterIdentity, readClusterIdentity } from "@ol/config";

import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import { adminError, errnoOf } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";
import { type ClusterPaths, clusterPaths } from "./paths.ts";

/** A cluster that exists. */
export interface Cluster {
  readonly paths: ClusterPaths;
  readonly identity: ClusterIdentity;
}

const isCluster = (directory: string): boolean => existsSync(clusterPaths(directory).template);

/** Another user's cluster is one, and "make one" would be the wrong advice. */
const refuseUnreadable = (directory: string, source: string): void => {
  try {
    statSync(clusterPaths(directory).template);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return;
    throw adminError(
      "OL_ADMIN_NO_CLUSTER",
      `${source} ${shown(directory)}, which cannot be looked at: ${systemReason(error)}`,
      { cause: error },
    );
  }
};

const childrenThatAre = (directory: string): string[] =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => join(directory, entry.name))
    .filter((child) => isCluster(child));

const MAKE = "make one with: npx ol-admin new --cluster=DIR";

/** The directory of the cluster that is meant; fails with OL_ADMIN_NO_CLUSTER. */
export const findClusterDirectory = (
  args: Arguments,
  context: Pick<Context, "cwd" | "environment">,
): string => {
  const named = args.text("cluster");
  const fromEnvironment = context.environment["OL_CLUSTER"];
  const asked = named ?? (fromEnvironment === "" ? undefined : fromEnvironment);
  if (asked !== undefined) {
    const directory = resolve(context.cwd, asked);
    if (isCluster(directory)) return directory;
    const source = named === undefined ? "$OL_CLUSTER is" : "--cluster is";
    refuseUnreadable(directory, source);
    throw adminError(
      "OL_ADMIN_NO_CLUSTER",
      `${source} ${shown(asked)}, which is no cluster: it has no config/template.json; ${MAKE}`,
    );
  }
  if (isCluster(context.cwd)) return context.cwd;
  const children = childrenThatAre(context.cwd);
  const [only, another] = children;
  if (only !== undefined && another === undefined) return only;
  const why =
    only === undefined
      ? `no cluster is here; name one with --cluster=DIR, or ${MAKE}`
      : `several clusters are here; name one: ${children.map((child) => asClusterFlag(relative(context.cwd, child))).join(" or ")}`;
  throw adminError("OL_ADMIN_NO_CLUSTER", why);
};

/** The cluster that is meant, with its identity. */
export const openCluster = async (
  args: Arguments,
  context: Pick<Context, "cwd" | "environment">,
): Promise<Cluster> => {
  const paths = clusterPaths(findClusterDirectory(args, context));
  const identity = await readClusterIdentity(paths.config);
  if (identity === undefined)
    throw adminError(
      "OL_ADMIN_NO_CLUSTER",
      `${paths.root} has no config/cluster.json, so nothing of it can be told from other clusters; ${MAKE}`,
    );
  return { paths, identity };
};
