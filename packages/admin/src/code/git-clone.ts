import { execFile } from "node:child_process";
import { realpathSync, statSync } from "node:fs";
import { join, sep } from "node:path";
import { promisify } from "node:util";

import type { Environment } from "@ol/config";

import { adminError, errnoOf } from "../errors.ts";
import { escapeControls, shown } from "../text.ts";
import { type GitSource, withoutPassword } from "./git-source.ts";

const run = promisify(execFile);

/** A repository of some hundred MB on a slow line. */
const DEADLINE_MS = 600_000;

/** Nothing of a repository is run, and nothing comes from elsewhere. */
const SETTINGS = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "submodule.recurse=false",
  "fetch.recurseSubmodules=false",
  "advice.detachedHead=false",
].flatMap((setting) => ["-c", setting]);

/** Of the caller's own repository, if we run in one of its hooks. */
const isOfARepository = (name: string): boolean =>
  /^GIT_(?:DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|NAMESPACE|COMMON_DIR|ALTERNATE_OBJECT_DIRECTORIES|CEILING_DIRECTORIES|CONFIG_COUNT|CONFIG_PARAMETERS)$/u.test(
    name,
  );

const environmentFor = (environment: Environment): Record<string, string | undefined> => ({
  GIT_SSH_COMMAND: "ssh -oBatchMode=yes",
  ...Object.fromEntries(Object.entries(environment).filter(([name]) => !isOfARepository(name))),
  // Whatever a repository redirects to.
  GIT_ALLOW_PROTOCOL: "https:ssh:file",
  // Nobody answers, and its words are read.
  GIT_TERMINAL_PROMPT: "0",
  LC_ALL: "C",
});

const failed = (source: GitSource, why: string, cause?: unknown): Error =>
  adminError("OL_ADMIN_BUNDLE", `cannot get ${shown(withoutPassword(source.url))}: ${why}`, {
    ...(cause !== undefined && { cause }),
  });

/** What git says last is mostly that there is no help; the first of its complaints names the reason. */
const reasonIn = (stderr: string, { url }: GitSource): string => {
  const lines = stderr.replaceAll(url, withoutPassword(url)).split("\n");
  const line =
    lines.find((one) => /^(?:fatal|error|ssh|remote): ?/iu.test(one)) ??
    lines.find((one) => one.trim() !== "");
  return line === undefined ? "git gave no reason" : escapeControls(withoutPassword(line.trim()));
};

const git = async (
  source: GitSource,
  words: readonly string[],
  { environment, signal }: { readonly environment: Environment; readonly signal: AbortSignal },
): Promise<void> => {
  try {
    await run("git", [...SETTINGS, ...words], {
      env: environmentFor(environment),
      timeout: DEADLINE_MS,
      killSignal: "SIGKILL",
      signal,
    });
  } catch (error) {
    signal.throwIfAborted();
    if (errnoOf(error) === "ENOENT")
      throw failed(source, "git is not installed; install it, or name a directory or a .tar.gz", error);
    const { killed, stderr } = error as { readonly killed?: boolean; readonly stderr?: string };
    if (killed === true) throw failed(source, `git was not done after ${DEADLINE_MS / 1000} s`, error);
    throw failed(source, reasonIn(stderr ?? "", source), error);
  }
};

/**
 * Gets one state of a repository, without its history and without submodules, into `directory`, which must not exist; settles
 * with the directory in it that is meant. Nothing of the repository is run. Fails with OL_ADMIN_BUNDLE.
 */
export const cloneInto = async (
  source: GitSource,
  directory: string,
  surroundings: { readonly environment: Environment; readonly signal: AbortSignal },
): Promise<string> => {
  await git(source, ["init", "--quiet", "--template=", "--", directory], surroundings);
  const inside = ["-C", directory];
  const fetch = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", source.url, source.ref ?? "HEAD"];
  await git(source, [...inside, ...fetch], surroundings);
  await git(source, [...inside, "checkout", "--quiet", "--detach", "FETCH_HEAD"], surroundings);
  return directoryIn(source, directory);
};

const directoryIn = (source: GitSource, root: string): string => {
  const directory = join(root, source.directory);
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw failed(source, `there is no directory ${shown(source.directory)} in it`);
  // By a link it could be any directory of this machine.
  const [real, whole] = [realpathSync(directory), realpathSync(root)];
  if (real !== whole && !real.startsWith(`${whole}${sep}`))
    throw failed(source, `${shown(source.directory)} is a link that leads out of it`);
  return real;
};
