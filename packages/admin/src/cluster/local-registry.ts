import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { mkdtemp, rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { systemReason } from "@ol/common";

import { adminError } from "../errors.ts";
import type { ClusterPaths } from "./paths.ts";
import { registryDirectory } from "./registry.ts";

const run = promisify(execFile);
const REMOVAL_MS = 120_000;

/** Where a cluster's workers find the code of lambdas. */
export interface CodeRegistry {
  /** How messages call it. */
  readonly place: string;
  has(name: string): boolean;
  /** A new empty directory in which code is put together; who asks for it removes it with `discard`. */
  stage(): Promise<string>;
  /** Makes `directory`, made below a stage, the code of the lambda `name`, in place of what that was. */
  put(name: string, directory: string): Promise<void>;
  /** Deletes a lambda; it is gone at once and as a whole. */
  remove(name: string, signal: AbortSignal): Promise<void>;
  discard(stage: string): Promise<void>;
}

/** The code registry that is a directory on this machine. */
export class LocalRegistry implements CodeRegistry {
  readonly place: string;

  static async of(paths: ClusterPaths): Promise<LocalRegistry> {
    return new LocalRegistry(await registryDirectory(paths));
  }

  private constructor(directory: string) {
    this.place = directory;
  }

  has(name: string): boolean {
    return lstatSync(join(this.place, name), { throwIfNoEntry: false }) !== undefined;
  }

  async stage(): Promise<string> {
    try {
      // No lambda's name begins with a dot.
      return await mkdtemp(join(this.place, ".stage-"));
    } catch (error) {
      throw adminError("OL_ADMIN_FILE", `cannot write to ${this.place}: ${systemReason(error)}`, {
        cause: error,
      });
    }
  }

  async put(name: string, directory: string): Promise<void> {
    const path = join(this.place, name);
    const old = this.#trash();
    try {
      // For a moment there is neither; workers look again before they take a lambda for removed.
      if (this.has(name)) await rename(path, old);
      await rename(directory, path);
      await removeTree(old);
    } catch (error) {
      throw adminError("OL_ADMIN_FILE", `cannot write ${path}: ${systemReason(error)}`, { cause: error });
    }
  }

  async remove(name: string, signal: AbortSignal): Promise<void> {
    const path = join(this.place, name);
    const trash = this.#trash();
    try {
      await rename(path, trash);
      await removeTree(trash, signal);
    } catch (error) {
      throw adminError("OL_ADMIN_FILE", `cannot delete ${path}: ${systemReason(error)}`, { cause: error });
    }
  }

  discard(stage: string): Promise<void> {
    return removeTree(stage);
  }

  #trash(): string {
    return join(this.place, `.removed-${randomBytes(6).toString("hex")}`);
  }
}

/** By rm and not fs.rm: it manages whatever depth, and follows no links. What is not there is no failure. */
const removeTree = async (path: string, signal?: AbortSignal): Promise<void> => {
  const options = { timeout: REMOVAL_MS, ...(signal === undefined ? {} : { signal }) };
  await run("rm", ["-rf", "--one-file-system", "--", path], options);
};
