import { formatReference, parseReference, type Reference } from "@ol/bundle";
import type { RegistryClient } from "@ol/registry-client";

import type { Arguments } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { connectRegistry, REGISTRY_OPTIONS, withAdvice } from "../registry/access.ts";
import { LocalRegistry } from "../registry/local-registry.ts";
import { clusterFlag, lockFor } from "./options.ts";

const removeHere = async (
  { name, tag, digest }: Reference,
  cluster: Cluster,
  args: Arguments,
  context: Context,
): Promise<void> => {
  if (tag !== undefined || digest !== undefined)
    throw adminError(
      "OL_ADMIN_REGISTRY",
      `the cluster's registry is a directory, which has no versions; remove ${name}`,
    );
  await using registry = await LocalRegistry.of(cluster.paths, context.signal);
  if (!(await registry.has(name)))
    throw adminError(
      "OL_ADMIN_NO_LAMBDA",
      `there is no lambda ${name} in ${registry.place}; see: npx ol-admin list ${clusterFlag(args, cluster.paths)}`,
    );
  await withProgress(context.output, `deleting ${name}`, registry.remove(name));
};

const removeThere = async (
  reference: Reference,
  { paths }: Cluster,
  client: RegistryClient,
  { output, signal }: Context,
): Promise<void> => {
  const work = withAdvice(paths, client, client.remove(reference, signal));
  const { objects, bytes } = await withProgress(output, `deleting ${formatReference(reference)}`, work);
  output.message(`${objects} objects deleted, ${(bytes / 1024).toFixed(1)} KB`);
};

export const removeCommand: Command = {
  name: "remove",
  about: "delete a lambda from the cluster's registry, or one version of it, or one tag",
  positionals: [{ name: "name", about: "the lambda, NAME@TAG, or NAME@sha256:DIGEST", required: true }],
  options: { cluster: CLUSTER_OPTION, ...REGISTRY_OPTIONS },
  async run(args, context) {
    const reference = parseReference(args.required("name"));
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "remove", context);
    const client = await connectRegistry("write", args, context, cluster.paths);
    await using _client = client;
    await (client === undefined
      ? removeHere(reference, cluster, args, context)
      : removeThere(reference, cluster, client, context));
    context.output.message(
      `${formatReference(reference)} is deleted; workers forget it within registry_cache_ms`,
    );
    return 0;
  },
};
