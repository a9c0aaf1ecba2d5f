import { resolve } from "node:path";

import { baseChoice } from "../base/choice.ts";
import { usageError } from "../cli/arguments.ts";
import type { Command } from "../cli/command.ts";
import { type NewCluster, createCluster } from "../cluster/create.ts";
import { asClusterFlag } from "../text.ts";

const MOST_WORKERS = 1000;

/** What to type next. */
const nextSteps = (
  flag: string,
  { workers, registry, balancer }: Pick<NewCluster, "workers" | "registry" | "balancer">,
): string => {
  if (workers > 1 || balancer === true) return `start all of it with: npx ol-admin up ${flag}`;
  return registry === true
    ? `start its registry, then a worker: npx ol-admin registry ${flag} && npx ol-admin workers ${flag}`
    : `start a worker with: npx ol-admin workers ${flag}`;
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
      value: "BASE",
      about:
        "what sandboxes see as their root file system: host (this machine's /usr, the default), docker:IMAGE, debootstrap:SUITE, or the directory or .tar(.gz) of one",
    },
    "num-workers": { kind: "text", value: "N", about: "how many workers ol-admin up starts; default 1" },
    registry: {
      kind: "flag",
      about: "give it a code registry of its own instead of a directory; ol-admin registry starts it",
    },
    "load-balancer": {
      kind: "flag",
      about: "give it a load balancer before its workers; ol-admin up starts it",
    },
  },
  async run(args, context) {
    const named = args.text("cluster");
    if (named === undefined) throw usageError("new needs --cluster=DIR, the directory to make");
    const workers = args.wholeNumber("num-workers", 1, MOST_WORKERS) ?? 1;
    const directory = resolve(context.cwd, named);
    const [registry, balancer] = [args.flag("registry"), args.flag("load-balancer")];
    const base = await baseChoice(args.text("base") ?? "host", context);
    await createCluster({ directory, workers, registry, balancer, ...base });
    context.output.result(directory);
    if (Object.keys(base).length > 0)
      context.output.message(
        `see whether sandboxes run on its base with: npx ol-admin base check ${asClusterFlag(named)}`,
      );
    context.output.message(
      `cluster made; ${nextSteps(asClusterFlag(named), { workers, registry, balancer })}`,
    );
    return 0;
  },
};
