import { isOlError } from "@ol/common";
import { mergeTemplate, parseJsonObject, problemsIn } from "@ol/config";

import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { clusterFlag, lockFor } from "./options.ts";

const WHERE = "setconf";

const parsePatch = (text: string): Record<string, unknown> => {
  try {
    return parseJsonObject(text, WHERE);
  } catch (error) {
    // What was typed is wrong, and not a file.
    throw isOlError(error) ? usageError(error.message) : error;
  }
};

const refuseProblems = (patch: Readonly<Record<string, unknown>>): void => {
  // null removes a key, whatever type its value has.
  const withoutNulls = JSON.parse(JSON.stringify(patch), (_key, value: unknown) =>
    value === null ? undefined : value,
  ) as unknown;
  const problems = problemsIn(withoutNulls);
  if (problems.length > 0) throw usageError(problems.map((problem) => `${WHERE}: ${problem}`).join("\n"));
};

export const setconfCommand: Command = {
  name: "setconf",
  about: "change the configuration of the cluster's workers",
  positionals: [
    {
      name: "json",
      about: "keys and values, such as '{\"worker_slots\": 8}'; null removes a key",
      required: true,
    },
  ],
  options: { cluster: CLUSTER_OPTION },
  async run(args, context) {
    const patch = parsePatch(args.required("json"));
    refuseProblems(patch);
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "setconf", context);
    await mergeTemplate(cluster.paths.template, patch, WHERE);
    context.output.message(
      `written; running workers get it with: npx ol-admin workers --restart ${clusterFlag(args, cluster.paths)}`,
    );
    return 0;
  },
};
