import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { isLambdaName } from "@ol/bundle";
import { systemReason } from "@ol/common";

import { CLUSTER_OPTION, type Command, JSON_OPTION } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { registryDirectory } from "../cluster/registry.ts";
import { adminError } from "../errors.ts";
import { shown, table } from "../text.ts";

const ENTRIES = ["f.py", "lambda_func.py"];

/** A lambda in the local registry. */
interface Listed {
  readonly name: string;
  /** The file that is run, if it is one of the two usual ones. */
  readonly entry: string | undefined;
  /** When the directory last changed, as ISO 8601. */
  readonly modified: string;
}

const describe = (registry: string, name: string): Listed | undefined => {
  const directory = join(registry, name);
  const stats = statSync(directory, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isDirectory()) return undefined;
  const entry = ENTRIES.find(
    (file) => statSync(join(directory, file), { throwIfNoEntry: false })?.isFile() === true,
  );
  return { name, entry, modified: stats.mtime.toISOString() };
};

const namesIn = (registry: string): string[] => {
  try {
    return readdirSync(registry).sort();
  } catch (error) {
    throw adminError("OL_ADMIN_FILE", `cannot read the registry ${registry}: ${systemReason(error)}`, {
      cause: error,
    });
  }
};

export const listCommand: Command = {
  name: "list",
  about: "list the lambdas in the cluster's registry",
  options: { cluster: CLUSTER_OPTION, json: JSON_OPTION },
  async run(args, context) {
    const { paths } = await openCluster(args, context);
    const registry = await registryDirectory(paths);
    const listed: Listed[] = [];
    for (const name of namesIn(registry)) {
      const lambda = isLambdaName(name) ? describe(registry, name) : undefined;
      if (lambda !== undefined) listed.push(lambda);
      else if (!name.startsWith("."))
        context.output.message(
          `${shown(name)} in the registry is no lambda: lambdas are directories with a plain name`,
        );
    }
    if (args.flag("json")) context.output.json(listed);
    else
      for (const line of table(listed.map(({ name, entry, modified }) => [name, entry ?? "-", modified])))
        context.output.result(line);
    if (listed.length === 0)
      context.output.message(`no lambdas in ${registry}; a directory with f.py in it is one`);
    return 0;
  },
};
