import { mergeTemplate, readJsonObject } from "@ol/config";
import { RegistryClient } from "@ol/registry-client";

import { type Arguments, usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { protect } from "../cluster/protected-file.ts";
import { givenKeys, trustedCertificates } from "../registry/access.ts";
import {
  DEFAULT_REGISTRY_PORT,
  newKeys,
  type PlannedRegistry,
  readRegistryPlan,
  type RegistryKeys,
  templateFor,
} from "../registry/plan.ts";
import { registryState, startRegistry, stopRegistry } from "../registry/server.ts";
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

const isSame = (one: RegistryKeys | undefined, other: RegistryKeys): boolean =>
  one?.accessKey === other.accessKey && one.secretKey === other.secretKey;

/** Whether the workers' template names this registry already. */
const tellWorkers = async ({ paths }: Cluster): Promise<boolean> => {
  const plan = await readRegistryPlan(paths);
  if (plan?.reader === undefined) return false;
  const patch = templateFor(plan, plan.reader);
  const before = await readJsonObject(paths.template);
  if (Object.entries(patch).every(([key, value]) => before[key] === value)) return false;
  await protect(paths.template);
  await mergeTemplate(paths.template, patch, "registry");
  return true;
};

/** The store is there, and takes the keys. */
const probe = async ({ paths }: Cluster, url: string, context: Context): Promise<void> => {
  const plan = await readRegistryPlan(paths);
  if (plan?.admin === undefined) return;
  const caFile = await trustedCertificates(paths);
  await using client = RegistryClient.create({
    endpoint: new URL(url),
    bucket: plan.bucket,
    ...plan.admin,
    ...(caFile !== undefined && { caFile }),
  });
  await client.probe(context.signal);
};

const start = async (args: Arguments, context: Context, cluster: Cluster): Promise<number> => {
  const { output } = context;
  const plan = await readRegistryPlan(cluster.paths);
  // Not what the environment has: those keys may be another registry's.
  const given = checked(givenKeys(args, { environment: {} }));
  const planned: PlannedRegistry = {
    port: args.wholeNumber("port", 1, 65_535) ?? plan?.port ?? DEFAULT_REGISTRY_PORT,
    admin: given ?? plan?.admin ?? newKeys(),
    reader: plan?.reader ?? newKeys(),
  };
  const runs = registryState(cluster.paths) === "running";
  const ranAlready =
    runs && plan !== undefined && planned.port === plan.port && isSame(plan.admin, planned.admin);
  if (runs && !ranAlready)
    await withProgress(output, "stopping the registry", stopRegistry(cluster.paths, context.signal));
  const url = ranAlready
    ? plan.url
    : await withProgress(output, "starting the registry", startRegistry(cluster, planned, context));
  // Also of one that ran already: an earlier try may have come no further.
  await withProgress(output, "trying the registry", probe(cluster, url, context));
  const isNews = await tellWorkers(cluster);
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
