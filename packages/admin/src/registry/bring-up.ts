import { mergeTemplate, readJsonObject } from "@ol/config";
import { RegistryClient } from "@ol/registry-client";

import type { Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import type { Cluster } from "../cluster/discover.ts";
import { protect } from "../cluster/protected-file.ts";
import {
  DEFAULT_REGISTRY_PORT,
  newKeys,
  type PlannedRegistry,
  readRegistryPlan,
  type RegistryKeys,
  templateFor,
} from "./plan.ts";
import { trustedCertificates } from "./access.ts";
import { registryState, startRegistry, stopRegistry } from "./server.ts";

const isSame = (one: RegistryKeys | undefined, other: RegistryKeys): boolean =>
  one?.accessKey === other.accessKey && one.secretKey === other.secretKey;

/** Settles with whether that is news for the workers' template. */
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

/** A registry that is ready. */
export interface ReadyRegistry {
  readonly url: string;
  /** It ran already, as it was wanted. */
  readonly ranAlready: boolean;
  /** Workers that run get their code elsewhere, until they are replaced. */
  readonly isNews: boolean;
}

/**
 * Has the cluster's registry run, on this port and with these keys if they are given; replaces one that has others. Fails as
 * `startRegistry`, and with errors of the registry's client if it does not take its keys.
 */
export const bringUpRegistry = async (
  cluster: Cluster,
  wanted: { readonly port?: number | undefined; readonly keys?: RegistryKeys | undefined },
  context: Context,
): Promise<ReadyRegistry> => {
  const { output } = context;
  const plan = await readRegistryPlan(cluster.paths);
  const planned: PlannedRegistry = {
    port: wanted.port ?? plan?.port ?? DEFAULT_REGISTRY_PORT,
    admin: wanted.keys ?? plan?.admin ?? newKeys(),
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
  return { url, ranAlready, isNews: await tellWorkers(cluster) };
};
