import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { type CleanupStack, messageOf } from "@ol/common";

import { parentOf } from "../memory.ts";
import { realPython } from "../python.ts";
import type { Peer } from "./peer.ts";
import { hostRoots, runTool, versionOf } from "./tool.ts";

/** Both have the same commands. */
export type ContainerTool = "docker" | "podman";

/** Where programs and libraries are; the rest of a container is its own. */
const isMounted = (directory: string): boolean => /^\/(?:usr|bin|sbin|lib\w*)$/u.test(directory);

/** Makes an image that holds nothing but links: no registry is asked, and every way to run Python runs the same one. */
const makeImage = async (
  tool: ContainerTool,
  image: string,
  links: readonly (readonly [string, string])[],
): Promise<void> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-image-"));
  try {
    const root = join(directory, "root");
    await mkdir(root);
    for (const [name, target] of links) await symlink(target, join(root, name));
    const archive = join(directory, "image.tar");
    await runTool("tar", ["-cf", archive, "--owner=0", "--group=0", "-C", root, "."]);
    await runTool(tool, ["import", archive, image]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

/** The process that keeps the container: the parent of its first one. `place`: what the tool is told of where its daemon is. */
export const keeperOf = async (
  tool: ContainerTool,
  name: string,
  place: readonly string[] = [],
): Promise<readonly number[]> => {
  const pid = await runTool(tool, [...place, "inspect", "--format", "{{.State.Pid}}", name]);
  return [parentOf(await readFile(`/proc/${pid}/stat`, "utf8"))];
};

const SERVER_VERSION = ["version", "--format", "{{.Server.Version}}"];

/** A tool may say much. */
const MOST_REASON_CHARS = 300;

/** Why it fails here; undefined if it does not. A daemon that does not run is as good as none. */
const failureOf = async (act: () => Promise<unknown>): Promise<string | undefined> => {
  try {
    await act();
    return undefined;
  } catch (error) {
    const last = messageOf(error).trim().split("\n").at(-1) ?? "";
    return `it does not work here: ${last.slice(0, MOST_REASON_CHARS)}`;
  }
};

/** An interpreter in `docker run`, with this machine's programs read-only; otherwise why not. The image is removed by `cleanup`. */
export const findContainers = async (
  tool: ContainerTool,
  python: string,
  cleanup: CleanupStack,
): Promise<Peer | string> => {
  const version = await versionOf(tool);
  if (version === undefined)
    return `it is not installed (Debian: apt-get install ${tool === "docker" ? "docker.io" : tool})`;
  const image = `ol-bench-${process.pid}:empty`;
  const { directories, links } = hostRoots();
  const reason =
    (await failureOf(() => runTool(tool, ["ps", "--quiet"]))) ??
    (await failureOf(() => makeImage(tool, image, links)));
  if (reason !== undefined) return reason;
  cleanup.add(async () => void (await runTool(tool, ["rmi", "--force", image])));
  // The interpreter of an environment is a link to another one, whose files are elsewhere.
  const prefixes = [python, await realPython()].map((path) => dirname(dirname(path)));
  const places = new Set([
    ...directories.filter(isMounted),
    ...prefixes.filter((prefix) => prefix !== "/usr"),
  ]);
  const mounts = [...places].flatMap((place) => ["--volume", `${place}:${place}:ro`]);
  let number = 0;
  const peer: Peer = {
    name: `${tool} run`,
    // What makes the container is the daemon, which may be older than the command.
    version: tool === "docker" ? `Docker Engine ${await runTool(tool, SERVER_VERSION)}` : version,
    command: async (args) => {
      number += 1;
      const name = `ol-bench-${process.pid}-${number}`;
      return {
        command: tool,
        args: [
          "run",
          "--rm",
          "--interactive",
          "--network",
          "none",
          "--name",
          name,
          ...mounts,
          image,
          python,
          ...args,
        ],
        roots: () => keeperOf(tool, name),
      };
    },
  };
  const trial = await peer.command(["-c", "pass"]);
  return (await failureOf(() => runTool(trial.command, trial.args))) ?? peer;
};
