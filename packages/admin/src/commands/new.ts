import { resolve } from "node:path";

import { type Arguments, usageError } from "../cli/arguments.ts";
import type { Command, Context } from "../cli/command.ts";
import { assertBaseDirectory, bootstrapBase } from "../cluster/base.ts";
import { type NewCluster, createCluster } from "../cluster/create.ts";
import { adminError } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";

const MOST_WORKERS = 1000;

const later = (what: string): Error =>
  adminError("OL_ADMIN_LATER", `${what} is not available in this version yet; leave it out`);

const BOOTSTRAP = "debootstrap:";
// As distributions name their releases.
const SUITE = /^[a-z0-9][a-z0-9._-]{0,63}$/iu;

const refuseLater = (args: Arguments): void => {
  if (args.flag("load-balancer")) throw later("--load-balancer");
};

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
    "num-workers": { kind: "text", value: "N", about: "how many workers the cluster is planned for" },
    registry: {
      kind: "flag",
      about: "give it a code registry of its own instead of a directory; ol-admin registry starts it",
    },
    "load-balancer": { kind: "flag", about: "(not available yet) plan a load balancer" },
  },
  async run(args, context) {
    const named = args.text("cluster");
    if (named === undefined) throw usageError("new needs --cluster=DIR, the directory to make");
    refuseLater(args);
    const workers = args.wholeNumber("num-workers", 1, MOST_WORKERS) ?? 1;
    const directory = resolve(context.cwd, named);
    const registry = args.flag("registry");
    await createCluster({ directory, workers, registry, ...(await asBase(args, context)) });
    context.output.result(directory);
    const flag = asClusterFlag(named);
    context.output.message(
      registry
        ? `cluster made; start its registry, then a worker: npx ol-admin registry ${flag} && npx ol-admin workers ${flag}`
        : `cluster made; start a worker with: npx ol-admin workers ${flag}`,
    );
    return 0;
  },
};
