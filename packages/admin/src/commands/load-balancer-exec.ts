import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { runInForeground } from "../process/foreground.ts";

export const loadBalancerExecCommand: Command = {
  name: "load-balancer-exec",
  about: "run a load balancer here, its log on this terminal; ctrl-C stops it",
  options: {
    cluster: CLUSTER_OPTION,
    config: { kind: "text", value: "FILE", about: "the load balancer's configuration" },
  },
  async run(args, context) {
    const named = args.text("config");
    if (named === undefined)
      throw usageError("load-balancer-exec needs --config=FILE, the load balancer's configuration");
    const configFile = resolve(context.cwd, named);
    if (!existsSync(configFile)) throw usageError(`there is no file ${configFile}`);
    const command = context.balancerCommand();
    const failure = "OL_ADMIN_BALANCER_FAILED";
    return runInForeground({ name: "load balancer", failure, command, configFile }, context);
  },
};
