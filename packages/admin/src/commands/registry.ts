import { type Arguments, usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { givenKeys } from "../registry/access.ts";
import { bringUpRegistry } from "../registry/bring-up.ts";
import { DEFAULT_REGISTRY_PORT, type RegistryKeys } from "../registry/plan.ts";
import { stopRegistry } from "../registry/server.ts";
import { listWorkers } from "../worker/list.ts";
import { clusterFlag, lockFor } from "./options.ts";

const ACCESS_CHARACTERS = 3;
const SECRET_CHARACTERS = 8;
const STOPPED = {
  "was-gone": "no registry was running",
  ended: "registry stopped",
  killed: "registry killed, since it did not stop in time",
};

const checked = (keys: RegistryKeys | undefined): RegistryKeys | undefined => {
  if (keys === undefined) return undefined;
  if (keys.accessKey.length < ACCESS_CHARACTERS)
    throw usageError(`--access-key must have at least ${ACCESS_CHARACTERS} characters`);
  if (keys.secretKey.length < SECRET_CHARACTERS)
    throw usageError(`--secret-key must have at least ${SECRET_CHARACTERS} characters`);
  return keys;
};

const start = async (args: Arguments, context: Context, cluster: Cluster): Promise<number> => {
  const { output } = context;
  const { url, ranAlready, isNews } = await bringUpRegistry(
    cluster,
    {
      port: args.wholeNumber("port", 1, 65_535),
      // Not what the environment has: those keys may be another registry's.
      keys: checked(givenKeys(args, { environment: {} })),
    },
    context,
  );
  output.result(`registry ready at ${url}`);
  output.message(
    ranAlready
      ? "it ran already"
      : `its keys are in ${cluster.paths.registryConfig}; upload code with: npx ol-admin upload --handler=NAME --file=DIR ${clusterFlag(args, cluster.paths)}`,
  );
  if (isNews && listWorkers(cluster.paths).some(({ state }) => state === "running"))
    output.message(
      `running workers use it after: npx ol-admin workers --restart ${clusterFlag(args, cluster.paths)}`,
    );
  return 0;
};

export const registryCommand: Command = {
  name: "registry",
  about: "start the cluster's code registry, an S3 store, in the background; workers get their code from it",
  options: {
    cluster: CLUSTER_OPTION,
    port: {
      kind: "text",
      value: "P",
      about: `the port it listens on; default: the one it had, else ${DEFAULT_REGISTRY_PORT}`,
    },
    "access-key": {
      kind: "text",
      value: "KEY",
      about: `the access key that may change it, at least ${ACCESS_CHARACTERS} characters; default: the one it had, else a new one`,
    },
    "secret-key": {
      kind: "text",
      value: "KEY",
      about: `its secret key, at least ${SECRET_CHARACTERS} characters`,
    },
    stop: { kind: "flag", about: "stop it; what is in it stays" },
  },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "registry", context);
    if (!args.flag("stop")) return start(args, context, cluster);
    const stopping = stopRegistry(cluster.paths, context.signal);
    context.output.message(STOPPED[await withProgress(context.output, "stopping the registry", stopping)]);
    return 0;
  },
};
