import { resolve } from "node:path";

import { type Arguments, usageError } from "../cli/arguments.ts";
import type { Command, Context } from "../cli/command.ts";
import { assertBaseDirectory, bootstrapBase } from "../cluster/base.ts";
import { type NewCluster, createCluster } from "../cluster/create.ts";
import { adminError } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";

const MOST_WORKERS = 1000;

const BOOTSTRAP = "debootstrap:";
// As distributions name their releases.
const SUITE = /^[a-z0-9][a-z0-9._-]{0,63}$/iu;

const asBase = async (
  args: Arguments,
  context: Context,
): Promise<Pick<NewCluster, "baseDirectory" | "fillBase">> => {
  const base = args.text("base") ?? "host";
  if (base === "host") return {};
  if (base.startsWith("docker:"))
    throw adminError(
      "OL_ADMIN_LATER",
      `--base=${shown(base)} comes with the docker engine, in a later version; a directory filled by "docker export" is one`,
    );
  if (base.startsWith(BOOTSTRAP)) {
    const suite = base.slice(BOOTSTRAP.length);
    if (!SUITE.test(suite))
      throw usageError(`--base=debootstrap:SUITE needs the name of a release, not ${shown(suite)}`);
    return { fillBase: (directory) => bootstrapBase(suite, directory, context) };
  }
  const baseDirectory = resolve(context.cwd, base);
  await assertBaseDirectory(baseDirectory);
  return { baseDirectory };
};

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
        "what sandboxes see as their root file system: host (this machine's /usr, the default), the directory of one, or debootstrap:SUITE, made by mmdebstrap or debootstrap",
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
    await createCluster({ directory, workers, registry, balancer, ...(await asBase(args, context)) });
    context.output.result(directory);
    context.output.message(
      `cluster made; ${nextSteps(asClusterFlag(named), { workers, registry, balancer })}`,
    );
    return 0;
  },
};
