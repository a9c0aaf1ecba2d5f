import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { snapshotDirectory } from "@ol/bundle";
import { systemReason } from "@ol/common";

import { adminError } from "../errors.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import type { CodeRegistry } from "./code-registry.ts";
import { registryDirectory } from "./directory.ts";

const run = promisify(execFile);
const REMOVAL_MS = 120_000;

const packedName = (name: string): string => `${name}.tar.gz`;

/** How a lambda's code may lie there; the first that is there counts. */
const formsOf = (name: string): readonly string[] => [name, packedName(name)];

/** The code registry that is a directory on this machine. */
export class LocalRegistry implements CodeRegistry {
  readonly place: string;
  readonly #signal: AbortSignal;

  static async of(paths: ClusterPaths, signal: AbortSignal): Promise<LocalRegistry> {
    return new LocalRegistry(await registryDirectory(paths), signal);
  }

  private constructor(directory: string, signal: AbortSignal) {
    this.place = directory;
    this.#signal = signal;
  }

  has(name: string): Promise<boolean> {
    return Promise.resolve(formsOf(name).some((form) => this.#isThere(form)));
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
      if (this.#isThere(name)) await rename(path, old);
      await rename(directory, path);
      await removeTree(old);
      // It would come to light if the directory were removed one day.
      await rm(join(this.place, packedName(name)), { force: true });
    } catch (error) {
      throw adminError("OL_ADMIN_FILE", `cannot write ${path}: ${systemReason(error)}`, { cause: error });
    }
  }

  /** Makes a copy of `directory`, wherever it is, the code of the lambda `name`. */
  async take(name: string, directory: string): Promise<void> {
    const stage = await this.stage();
    try {
      const copy = join(stage, name);
      await snapshotDirectory(directory, copy, { signal: this.#signal });
      await this.put(name, copy);
    } finally {
      await this.discard(stage);
    }
  }

  async remove(name: string): Promise<void> {
    // The directory last: while it is there, it is what counts.
    for (const form of formsOf(name).toReversed()) if (this.#isThere(form)) await this.#removeForm(form);
  }

  discard(stage: string): Promise<void> {
    return removeTree(stage);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #isThere(form: string): boolean {
    return lstatSync(join(this.place, form), { throwIfNoEntry: false }) !== undefined;
  }

  async #removeForm(form: string): Promise<void> {
    const path = join(this.place, form);
    const trash = this.#trash();
    try {
      await rename(path, trash);
      await removeTree(trash, this.#signal);
    } catch (error) {
      throw adminError("OL_ADMIN_FILE", `cannot delete ${path}: ${systemReason(error)}`, { cause: error });
    }
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
