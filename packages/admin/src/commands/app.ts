import { CLUSTER_OPTION, type Command, type Context } from "../cli/command.ts";
import type { Arguments } from "../cli/arguments.ts";
import { withProgress } from "../cli/progress.ts";
import { STATIC, applicationName, lambdaOf, readApplication } from "../app/application.ts";
import { Deployment, withdraw } from "../app/deployment.ts";
import { readRecord } from "../app/record.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { REGISTRY_OPTIONS } from "../registry/access.ts";
import { openRegistry } from "../registry/code-registry.ts";
import { readyUrl } from "../worker/reach.ts";
import { clusterFlag, lockFor } from "./options.ts";

const bringIn = async (args: Arguments, context: Context, { paths }: Cluster): Promise<void> => {
  const application = readApplication(context.cwd, args.required("directory"));
  const { name, page } = application;
  const url = await readyUrl(paths, context);
  await using registry = await openRegistry(args, context, paths);
  const deployment = await Deployment.prepare({ paths, registry, url, context }, application);
  await withProgress(context.output, `setting up ${name}`, deployment.run());
  for (const lambda of deployment.lambdas)
    // A page needs the last '/': what it names is looked for beside it.
    context.output.result(
      `${url}/run/${lambda}${page !== undefined && lambda === lambdaOf(name, STATIC) ? "/" : ""}`,
    );
  context.output.message(
    `workers that know older code of it see this one within registry_cache_ms; take it out again with: npx ol-admin app ${args.required("directory")} --down ${clusterFlag(args, paths)}`,
  );
};

const takeOut = async (args: Arguments, context: Context, { paths }: Cluster): Promise<void> => {
  const name = applicationName(context.cwd, args.required("directory"));
  const record = await readRecord(paths, name);
  if (record === undefined)
    throw adminError(
      "OL_ADMIN_BAD_APP",
      `the cluster has no application ${name}; it was taken out, or never set up`,
    );
  await using registry = await openRegistry(args, context, paths);
  await withProgress(context.output, `taking out ${name}`, withdraw({ paths, registry, context }, record));
  context.output.message(`${name} is gone, with what its setup.sh started and kept`);
};

export const appCommand: Command = {
  name: "app",
  about: "set up an application: run its setup.sh, put its handlers and its page into the registry",
  positionals: [
    { name: "directory", about: "with handlers/NAME, and perhaps setup.sh and static", required: true },
  ],
  options: {
    cluster: CLUSTER_OPTION,
    ...REGISTRY_OPTIONS,
    down: { kind: "flag", about: "take it out again, with what its setup.sh started and kept" },
  },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "app", context);
    await (args.flag("down") ? takeOut : bringIn)(args, context, cluster);
    return 0;
  },
};
