import { WORKER_SCHEMA, describeKeys } from "@ol/config";

import { CLUSTER_OPTION, type Command, JSON_OPTION } from "../cli/command.ts";

export const configCommand: Command = {
  name: "config",
  about: "print every configuration key: value, default, meaning",
  options: { cluster: CLUSTER_OPTION, json: { ...JSON_OPTION, about: "print the JSON schema" } },
  run(args, context) {
    if (args.flag("json")) context.output.json(WORKER_SCHEMA);
    else
      for (const key of describeKeys()) {
        context.output.result(`${key.key} (${key.variable})`);
        context.output.result(`    ${key.description}`);
        context.output.result(
          `    value: ${key.value}${key.default === undefined ? "" : `; default: ${key.default.replaceAll("`", "")}`}`,
        );
      }
    return Promise.resolve(0);
  },
};
