import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { runInForeground } from "../process/foreground.ts";

export const workerExecCommand: Command = {
  name: "worker-exec",
  about: "run one worker here, its log on this terminal; ctrl-C stops it",
  options: {
    cluster: CLUSTER_OPTION,
    config: { kind: "text", value: "FILE", about: "the worker's configuration" },
  },
  async run(args, context) {
    const named = args.text("config");
    if (named === undefined) throw usageError("worker-exec needs --config=FILE, the worker's configuration");
    const file = resolve(context.cwd, named);
    if (!existsSync(file)) throw usageError(`there is no file ${file}`);
    return runInForeground(
      {
        name: "worker",
        failure: "OL_ADMIN_WORKER_FAILED",
        command: context.workerCommand(),
        configFile: file,
      },
      context,
    );
  },
};
