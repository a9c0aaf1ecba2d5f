import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

import { isOlError, type Logger, messageOf } from "@ol/common";

import { sandboxError } from "../errors.ts";
import type { ContainerDaemon } from "./daemon.ts";

/** The Dockerfile that is built where no image is named. */
export const DOCKERFILE: string = fileURLToPath(new URL("../../docker/Dockerfile", import.meta.url));

// With a host's name, since Podman completes others to one of Docker Hub's.
const BUILT = "localhost/openlambda-python";
const IMPORTED = "localhost/openlambda-base";
/** Another one for another way to make an image of the same directory. */
const IMPORT_VERSION = "2";
const DIGEST_CHARACTERS = 16;
const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** What image containers are made from. */
export interface ImageWish {
  /** A name; pulled if it is not there. */
  readonly image?: string | undefined;
  /** A directory with a root file system, without `image`. */
  readonly baseDir?: string | undefined;
  /** For the Dockerfile, without either: the image that it begins with. */
  readonly buildBase?: string | undefined;
}

/** Settles with the name of an image that the daemon has. Fails with OL_SANDBOX_BAD_IMAGE and _DAEMON_UNAVAILABLE. */
export const prepareImage = (daemon: ContainerDaemon, wish: ImageWish, logger: Logger): Promise<string> => {
  if (wish.image !== undefined) return pulled(daemon, wish.image, logger);
  if (wish.baseDir !== undefined) return imported(daemon, wish.baseDir, logger);
  return built(daemon, wish.buildBase, logger);
};

const pulled = async (daemon: ContainerDaemon, image: string, logger: Logger): Promise<string> => {
  if (await daemon.hasImage(image)) return image;
  logger.info("pulling an image", { image });
  try {
    await daemon.pull(image, (line) => logger.debug(line, { image }));
  } catch (error) {
    throw badImage(
      `the image ${image} is not there, and cannot be pulled: ${messageOf(error)}; load it into the daemon, or name another in docker.base_image`,
      error,
    );
  }
  return image;
};

/** Once for each state of the directory: an image of the same is taken again. */
const imported = async (daemon: ContainerDaemon, directory: string, logger: Logger): Promise<string> => {
  const tag = digest([IMPORT_VERSION, await fingerprint(directory)]);
  const image = `${IMPORTED}:${tag}`;
  if (await daemon.hasImage(image)) return image;
  logger.info("importing a root file system as an image", { directory, image });
  const options = ["--create", "--numeric-owner", "--one-file-system", "--directory", directory];
  // Where it has no /tmp, what is mounted there is everybody's; else it has that one's mode, which in a base is its owner's alone.
  await throughProgram(
    "tar",
    [...options, "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./tmp", "."],
    directory,
    (archive) => daemon.import(archive, IMPORTED, tag),
  );
  return image;
};

const built = async (daemon: ContainerDaemon, base: string | undefined, logger: Logger): Promise<string> => {
  const dockerfile = await readFile(DOCKERFILE);
  const tag = digest([dockerfile.toString(), base ?? ""]);
  const image = `${BUILT}:${tag}`;
  if (await daemon.hasImage(image)) return image;
  logger.info("building the image of sandboxes", { image });
  const args: Record<string, string> = base === undefined ? {} : { BASE: base };
  const directory = fileURLToPath(new URL("../../docker", import.meta.url));
  try {
    await throughProgram("tar", ["--create", "--directory", directory, "Dockerfile"], directory, (archive) =>
      daemon.build(archive, image, args, (line) => logger.debug(line, { image })),
    );
  } catch (error) {
    if (isOlError(error, "OL_SANDBOX_DAEMON_UNAVAILABLE")) throw error;
    throw badImage(
      `no image is named, and one cannot be built: ${messageOf(error)}; name one that the daemon has in docker.base_image, or put a root file system into the cluster's base directory (ol-admin new --base=debootstrap:SUITE)`,
      error,
    );
  }
  return image;
};

/** Everything but the contents: a file that was changed has another time, or another size. */
const fingerprint = async (directory: string): Promise<string> => {
  const hash = createHash("sha256");
  const options = ["-xdev", "-printf", "%P %y %m %U:%G %s %T@ %l\\0"];
  await throughProgram("find", [directory, ...options], directory, async (lines) => {
    const parts: string[] = [];
    let pending = "";
    for await (const part of lines) {
      const entries = (pending + String(part)).split("\0");
      pending = entries.pop() ?? "";
      parts.push(...entries);
    }
    // In which order a directory lists its entries is up to the file system.
    for (const entry of parts.sort()) hash.update(entry).update("\0");
  });
  return hash.digest("hex").slice(0, DIGEST_CHARACTERS);
};

const digest = (parts: readonly string[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, DIGEST_CHARACTERS);

/** Hands what a program writes to `use`. Fails with OL_SANDBOX_BAD_IMAGE if the program does. */
const throughProgram = async (
  program: string,
  args: readonly string[],
  directory: string,
  use: (output: Readable) => Promise<void>,
): Promise<void> => {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: SYSTEM_PATH, LANG: "C.UTF-8" },
  });
  const exited = once(child, "close") as Promise<[number | null, string | null]>;
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-4_096)));
  try {
    await use(child.stdout);
  } catch (error) {
    child.kill("SIGKILL");
    await exited;
    throw error;
  }
  const [code, signal] = await exited;
  if (code === 0) return;
  const why = words.trim().split("\n").at(-1) || (signal ?? `exit code ${code}`);
  throw badImage(`the root file system ${directory} cannot be read: ${why}`, undefined);
};

export const badImage = (message: string, cause: unknown): Error =>
  sandboxError("OL_SANDBOX_BAD_IMAGE", `Containers have no image: ${message}.`, { cause });
