import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import type { CleanupStack } from "@ol/common";

import type { Peer } from "./peer.ts";
import { hostRoots, runTool, versionOf } from "./tool.ts";

interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

interface RuncConfig {
  process: { terminal: boolean; args: readonly string[] };
  mounts: readonly Mount[];
}

const shared = (directory: string): Mount => ({
  destination: directory,
  type: "bind",
  source: directory,
  options: ["rbind", "ro"],
});

/** A bundle as `runc spec` proposes it, with this machine's files read-only. */
const makeBundle = async (python: string, args: readonly string[], bundle: string): Promise<void> => {
  const root = join(bundle, "rootfs");
  await mkdir(root);
  await runTool("runc", ["spec"], bundle);
  const { directories, links } = hostRoots();
  for (const [name, target] of links) await symlink(target, join(root, name));
  const file = join(bundle, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as RuncConfig;
  config.process.terminal = false;
  config.process.args = [python, ...args];
  config.mounts = [
    ...config.mounts.filter(({ destination }) => destination !== "/sys/fs/cgroup"),
    shared(dirname(dirname(python))),
    ...directories.map(shared),
  ];
  await writeFile(file, JSON.stringify(config));
};

/** An interpreter in a container that runc makes; otherwise why not. What is made for it is removed by `cleanup`. */
export const findRunc = async (python: string, cleanup: CleanupStack): Promise<Peer | string> => {
  const version = await versionOf("runc");
  if (version === undefined) return "it is not installed (Debian: apt-get install runc)";
  if (process.getuid?.() !== 0) return "it needs root here";
  const bundles = new Map<string, Promise<string>>();
  const bundleFor = async (args: readonly string[]): Promise<string> => {
    const bundle = await mkdtemp(join(tmpdir(), "ol-runc-"));
    cleanup.add(() => rm(bundle, { recursive: true, force: true }));
    await makeBundle(python, args, bundle);
    return bundle;
  };
  let number = 0;
  return {
    name: "runc",
    version,
    command: async (args) => {
      const key = JSON.stringify(args);
      const made = bundles.get(key) ?? bundleFor(args);
      bundles.set(key, made);
      number += 1;
      const id = `ol-bench-${process.pid}-${number}`;
      return { command: "runc", args: ["run", "--bundle", await made, id] };
    },
  };
};
