import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import type { RunHeader } from "./results.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const GIT_MS = 10_000;

const git = async (...args: string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)("git", args, { cwd: PACKAGE, timeout: GIT_MS });
  return stdout.trim();
};

const describeCommit = async (): Promise<string> => {
  try {
    // Somebody else's repository, in which this package was installed, says nothing of it.
    await git("ls-files", "--error-unmatch", "package.json");
    const changed = await git("status", "--porcelain", "--untracked-files=no");
    return `${await git("rev-parse", "HEAD")}${changed === "" ? "" : "+"}`;
  } catch {
    // There is no git, or no clone: the version is all that is known.
    return "unknown";
  }
};

/** What stands at the beginning of a command's JSON. */
export const runHeader = async (
  command: string,
  args: readonly string[],
  seed?: number,
): Promise<RunHeader> => {
  const manifest = JSON.parse(await readFile(`${PACKAGE}/package.json`, "utf8")) as { version: string };
  return {
    command,
    arguments: args,
    at: new Date().toISOString(),
    version: manifest.version,
    commit: await describeCommit(),
    ...(seed !== undefined && { seed }),
  };
};
