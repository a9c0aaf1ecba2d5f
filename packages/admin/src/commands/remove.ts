import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstatSync, renameSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { checkLambdaName } from "@ol/bundle";
import { systemReason } from "@ol/common";

import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { registryDirectory } from "../cluster/registry.ts";
import { adminError } from "../errors.ts";
import { clusterFlag, lockFor } from "./options.ts";

const run = promisify(execFile);
const DEADLINE_MS = 120_000;

export const removeCommand: Command = {
  name: "remove",
  about: "delete a lambda from the cluster's registry",
  positionals: [{ name: "name", about: "the lambda", required: true }],
  options: { cluster: CLUSTER_OPTION },
  async run(args, context) {
    const name = checkLambdaName(args.required("name"));
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "remove", context);
    const registry = await registryDirectory(cluster.paths);
    const path = join(registry, name);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined)
      throw adminError(
        "OL_ADMIN_NO_LAMBDA",
        `there is no lambda ${name} in ${registry}; see: npx ol-admin list ${clusterFlag(args, cluster.paths)}`,
      );
    // Renamed first: it is gone at once and as a whole. No lambda's name begins with a dot.
    const trash = join(registry, `.removed-${randomBytes(6).toString("hex")}`);
    try {
      renameSync(path, trash);
      // rm and not fs.rm: it manages whatever depth, and follows no links.
      const removal = run("rm", ["-rf", "--one-file-system", "--", trash], {
        timeout: DEADLINE_MS,
        signal: context.signal,
      });
      await withProgress(context.output, `deleting ${name}`, removal);
    } catch (error) {
      throw adminError("OL_ADMIN_FILE", `cannot delete ${path}: ${systemReason(error)}`, {
        cause: error,
      });
    }
    context.output.message(`${name} is deleted; workers forget it within registry_cache_ms`);
    return 0;
  },
};
