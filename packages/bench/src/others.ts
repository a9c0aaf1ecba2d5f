import { execFile } from "node:child_process";
import { lstatSync, readdirSync, readlinkSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { CleanupStack } from "@ol/common";

import { measureCommand } from "./python.ts";

const run = promisify(execFile);
const toolTimeoutMs = 10_000;
const notShared = new Set(["dev", "proc", "run", "sys", "tmp"]);

/** Other ways to run Python shut in, of those that this machine has. */
export interface Others extends AsyncDisposable {
  /** By the name of the row: one start to its end, in ms. */
  readonly measures: ReadonlyMap<string, () => Promise<number>>;
  /** Which are not here, a sentence each. */
  readonly notes: readonly string[];
}

interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

interface RuncConfig {
  process: { terminal: boolean; args: string[] };
  mounts: Mount[];
}

const isThere = async (command: string): Promise<boolean> => {
  try {
    await run(command, ["--version"], { timeout: toolTimeoutMs });
    return true;
  } catch {
    // Not installed, which the caller notes.
    return false;
  }
};

/** `python3 -c pass` with namespaces of its own and the machine's files read-only. */
const bubblewrap = (python: string): (() => Promise<number>) => {
  const shutIn = [
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--unshare-all",
    "--die-with-parent",
  ];
  return () => measureCommand("bwrap", [...shutIn, python, "-c", "pass"]);
};

const shared = (directory: string): Mount => ({
  destination: directory,
  type: "bind",
  source: directory,
  options: ["rbind", "ro"],
});

/** The same in a container, from the bundle that `runc spec` proposes. */
const runc = async (python: string, cleanup: CleanupStack): Promise<() => Promise<number>> => {
  const bundle = await mkdtemp(join(tmpdir(), "ol-runc-"));
  cleanup.add(() => rm(bundle, { recursive: true, force: true }));
  const root = join(bundle, "rootfs");
  await mkdir(root);
  await run("runc", ["spec"], { cwd: bundle, timeout: toolTimeoutMs });
  const mounts = [shared(dirname(dirname(python)))];
  for (const name of readdirSync("/").filter((entry) => !notShared.has(entry))) {
    const found = lstatSync(`/${name}`);
    if (found.isSymbolicLink()) await symlink(readlinkSync(`/${name}`), join(root, name));
    else if (found.isDirectory()) mounts.push(shared(`/${name}`));
  }
  const file = join(bundle, "config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as RuncConfig;
  config.process.terminal = false;
  config.process.args = [python, "-c", "pass"];
  config.mounts = [...config.mounts.filter(({ destination }) => destination !== "/sys/fs/cgroup"), ...mounts];
  await writeFile(file, JSON.stringify(config));
  let number = 0;
  return () => {
    number += 1;
    return measureCommand("runc", ["run", "--bundle", bundle, `ol-bench-${process.pid}-${number}`]);
  };
};

/** `python` is an interpreter without third-party packages. */
export const findOthers = async (python: string): Promise<Others> => {
  const cleanup = new CleanupStack();
  const measures = new Map<string, () => Promise<number>>();
  const notes: string[] = [];
  if (await isThere("bwrap")) measures.set("bubblewrap, python3 -c pass", bubblewrap(python));
  else notes.push("bubblewrap is not installed, so it was not compared");
  if (!(await isThere("runc"))) notes.push("runc is not installed, so it was not compared");
  else if (process.getuid?.() === 0) measures.set("runc, python3 -c pass", await runc(python, cleanup));
  else notes.push("runc needs root here, so it was not compared");
  return { measures, notes, [Symbol.asyncDispose]: () => cleanup.run() };
};
