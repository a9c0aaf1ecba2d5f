import { resolve } from "node:path";

import { type Arguments, usageError } from "../cli/arguments.ts";
import type { Command } from "../cli/command.ts";
import { createCluster } from "../cluster/create.ts";
import { adminError } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";

const MOST_WORKERS = 1000;

const later = (what: string): Error =>
  adminError("OL_ADMIN_LATER", `${what} is not available in this version yet; leave it out`);

const refuseLater = (args: Arguments): void => {
  const base = args.text("base");
  if (base !== undefined && base !== "host") throw later(`--base=${shown(base)}`);
  if (args.flag("registry")) throw later("--registry");
  if (args.flag("load-balancer")) throw later("--load-balancer");
};

export const newCommand: Command = {
  name: "new",
  about: "make a cluster directory",
  options: {
    cluster: {
      kind: "text",
      value: "DIR",
      about: "the directory to make; it must not exist, its parent must",
    },
    base: {
      kind: "text",
      value: "host",
      about: "what sandboxes see as their root file system; `host` is this machine's",
    },
    "num-workers": { kind: "text", value: "N", about: "how many workers the cluster is planned for" },
    registry: { kind: "flag", about: "(not available yet) plan a registry" },
    "load-balancer": { kind: "flag", about: "(not available yet) plan a load balancer" },
  },
  async run(args, context) {
    const named = args.text("cluster");
    if (named === undefined) throw usageError("new needs --cluster=DIR, the directory to make");
    refuseLater(args);
    const workers = args.wholeNumber("num-workers", 1, MOST_WORKERS) ?? 1;
    const directory = resolve(context.cwd, named);
    await createCluster({ directory, workers });
    context.output.result(directory);
    context.output.message(`cluster made; start a worker with: npx ol-admin workers ${asClusterFlag(named)}`);
    return 0;
  },
};
