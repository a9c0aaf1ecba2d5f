import { readdir, stat } from "node:fs/promises";
import { resolve } from "node:path";

import { systemReason } from "@ol/common";

import { usageError } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import { progressBar, withProgress } from "../cli/progress.ts";
import type { NewCluster } from "../cluster/create.ts";
import { shown } from "../text.ts";
import { unpackArchive } from "./archive.ts";
import { bootstrapBase } from "./bootstrap.ts";
import { exportImage } from "./docker-image.ts";
import { baseFailure } from "./failure.ts";

/** What a new cluster is told of its base; nothing: it has this machine's own. */
type Choice = Pick<NewCluster, "baseDirectory" | "fillBase">;

const BOOTSTRAP = "debootstrap:";
const IMAGE = "docker:";
// As distributions name their releases.
const SUITE_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/iu;
// A name with registry, tag or digest, or an image's id; no more than Docker has it.
const IMAGE_NAME = /^(?!.*\.\.)[a-z0-9][a-z0-9._:/@-]{0,254}$/iu;
const KINDS = "host, docker:IMAGE, debootstrap:SUITE, or the directory or .tar(.gz) of a root file system";

const fromArchive = async (
  path: string,
  bytes: number,
  directory: string,
  context: Context,
): Promise<void> => {
  const { output, signal } = context;
  const name = shown(path);
  let read = 0;
  const options = { name, signal, progress: (done: number) => void (read = done) };
  await withProgress(
    output,
    () => `unpacking ${name} ${progressBar(read, Math.max(read, bytes))}`,
    unpackArchive(path, directory, options),
  );
};

/** A directory is used where it is, an archive unpacked. */
const fromPath = async (path: string, context: Context): Promise<Choice> => {
  const flag = `--base=${shown(path)}`;
  try {
    const found = await stat(path);
    if (found.isFile()) return { fillBase: (directory) => fromArchive(path, found.size, directory, context) };
    if ((await readdir(path)).length > 0) return { baseDirectory: path };
  } catch (error) {
    throw baseFailure(`${flag}: ${systemReason(error)}; it must be ${KINDS}`, error);
  }
  throw baseFailure(
    `${flag} has nothing in it; fill it with a root file system that has Python 3.9 or newer`,
  );
};

/**
 * What `--base` asks for. Fails with OL_ADMIN_BASE if what it names is not there; whether sandboxes can run on it is seen
 * by `base check`, and where a worker starts.
 */
export const baseChoice = async (base: string, context: Context): Promise<Choice> => {
  if (base === "host") return {};
  if (base.startsWith(IMAGE)) {
    const image = base.slice(IMAGE.length);
    if (!IMAGE_NAME.test(image))
      throw usageError(
        `--base=docker:IMAGE needs an image's name such as python:3.12-slim, not ${shown(image)}`,
      );
    return { fillBase: (directory) => exportImage(image, directory, context) };
  }
  if (base.startsWith(BOOTSTRAP)) {
    const suite = base.slice(BOOTSTRAP.length);
    if (!SUITE_NAME.test(suite))
      throw usageError(`--base=debootstrap:SUITE needs the name of a release, not ${shown(suite)}`);
    return { fillBase: (directory) => bootstrapBase(suite, directory, context) };
  }
  return fromPath(resolve(context.cwd, base), context);
};
