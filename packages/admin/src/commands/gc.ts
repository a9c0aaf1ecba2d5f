import { messageOf } from "@ol/common";
import type { GarbageResult, RegistryClient } from "@ol/registry-client";

import type { Arguments } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { removePidFile } from "../process/pid-file.ts";
import { connectRegistry, REGISTRY_OPTIONS, withAdvice } from "../registry/access.ts";
import { escapeControls } from "../text.ts";
import { hostWork } from "../worker/host-work.ts";
import { listWorkers } from "../worker/list.ts";
import { lockFor } from "./options.ts";

const MOST_KEPT = 100;

/** Settles with whether all went well. */
const clearWorkers = async ({ paths }: Cluster, dryRun: boolean, context: Context): Promise<boolean> => {
  const { output, signal } = context;
  let good = true;
  for (const worker of listWorkers(paths).filter(({ state }) => state !== "running")) {
    if (dryRun) {
      output.message(`${worker.name} does not run: what it left would be cleared`);
      continue;
    }
    try {
      if (worker.configured)
        await withProgress(output, `clearing ${worker.name}`, hostWork(context, "sweep", worker.configFile));
      removePidFile(worker.pidFile);
      output.message(`${worker.name} cleared`);
    } catch (error) {
      if (signal.aborted) throw error;
      output.message(`${worker.name}: ${escapeControls(messageOf(error))}`);
      good = false;
    }
  }
  return good;
};

const printGarbage = (
  { lambdas, skipped, bytes }: GarbageResult,
  dryRun: boolean,
  { output }: Context,
): void => {
  for (const name of skipped)
    output.message(
      `${name} is left alone: it has a tag that cannot be read, which may name any version; see: npx ol-admin list`,
    );
  for (const { name, versions } of lambdas)
    for (const digest of versions) output.result(`${name}@sha256:${digest}`);
  const count = lambdas.reduce((sum, { versions }) => sum + versions.length, 0);
  output.message(
    `${count} versions that no tag names ${dryRun ? "would be" : "are"} removed from the registry (${(bytes / 1024).toFixed(1)} KB)`,
  );
};

const clearRegistry = async (
  args: Arguments,
  { paths }: Cluster,
  client: RegistryClient,
  context: Context,
): Promise<void> => {
  const dryRun = args.flag("dry-run");
  const keep = args.wholeNumber("keep", 1, MOST_KEPT);
  const request = { dryRun, ...(keep !== undefined && { keep }) };
  const work = withAdvice(paths, client, client.gc(request, context.signal));
  printGarbage(
    await withProgress(context.output, "looking for code that no tag names", work),
    dryRun,
    context,
  );
};

export const gcCommand: Command = {
  name: "gc",
  about:
    "clear what dead workers left behind, and versions in the registry that no tag remembers; what runs is not touched",
  options: {
    cluster: CLUSTER_OPTION,
    ...REGISTRY_OPTIONS,
    "dry-run": { kind: "flag", about: "say what would be removed, and remove nothing" },
    keep: {
      kind: "text",
      value: "N",
      about: "have each tag remember this many versions only, the current one counted; default: as they are",
    },
  },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "gc", context);
    const good = await clearWorkers(cluster, args.flag("dry-run"), context);
    const client = await connectRegistry("write", args, context, cluster.paths);
    await using _client = client;
    if (client !== undefined) await clearRegistry(args, cluster, client, context);
    return good ? 0 : 1;
  },
};
