import { messageOf } from "@ol/common";

import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { removePidFile } from "../process/pid-file.ts";
import { escapeControls } from "../text.ts";
import { hostWork } from "../worker/host-work.ts";
import { listWorkers } from "../worker/list.ts";
import { lockFor } from "./options.ts";

export const gcCommand: Command = {
  name: "gc",
  about: "clear what dead workers left behind; running ones are not touched",
  options: { cluster: CLUSTER_OPTION },
  async run(args, context) {
    const cluster = await openCluster(args, context);
    await using _lock = await lockFor(cluster, "gc", context);
    let code = 0;
    for (const worker of listWorkers(cluster.paths).filter(({ state }) => state !== "running")) {
      try {
        if (worker.configured) {
          const sweep = hostWork(context, "sweep", worker.configFile);
          await withProgress(context.output, `clearing ${worker.name}`, sweep);
        }
        removePidFile(worker.pidFile);
        context.output.message(`${worker.name} cleared`);
      } catch (error) {
        if (context.signal.aborted) throw error;
        context.output.message(`${worker.name}: ${escapeControls(messageOf(error))}`);
        code = 1;
      }
    }
    return code;
  },
};
