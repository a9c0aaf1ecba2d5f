import { checkLambdaName } from "@ol/bundle";

import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { LocalRegistry } from "../cluster/local-registry.ts";
import { adminError } from "../errors.ts";
import { clusterFlag, lockFor } from "./options.ts";

export const removeCommand: Command = {
  name: "remove",
  about: "delete a lambda from the cluster's registry",
  positionals: [{ name: "name", about: "the lambda", required: true }],
  options: { cluster: CLUSTER_OPTION },
  async run(args, context) {
    const name = checkLambdaName(args.required("name"));
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "remove", context);
    const registry = await LocalRegistry.of(cluster.paths);
    if (!registry.has(name))
      throw adminError(
        "OL_ADMIN_NO_LAMBDA",
        `there is no lambda ${name} in ${registry.place}; see: npx ol-admin list ${clusterFlag(args, cluster.paths)}`,
      );
    await withProgress(context.output, `deleting ${name}`, registry.remove(name, context.signal));
    context.output.message(`${name} is deleted; workers forget it within registry_cache_ms`);
    return 0;
  },
};
