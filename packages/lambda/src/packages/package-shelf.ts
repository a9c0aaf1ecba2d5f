import { createHash } from "node:crypto";
import type { Stats } from "node:fs";
import { stat, utimes } from "node:fs/promises";
import { join } from "node:path";

import { type HeldLock, type Logger, lockFree, messageOf, tryLock } from "@ol/common";

/** Where packages are, and who may be adding one. */
export interface PackageShelfOptions {
  /** The sandbox engine's `packagesDir`. */
  readonly packagesDir: string;
  /** Hears if uses cannot be noted. */
  readonly logger: Logger;
}

/** A package that has this file was compiled. */
export const COMPILED = ".compiled";
/** `gc` keeps what was used within a day: that is noted at most so often, and well within it. */
export const NOTE_USE_MS: number = 6 * 3_600_000;

/** The directories of installed packages, named relative to `packagesDir`. What is there is complete. */
export class PackageShelf {
  /** As it was made with. */
  readonly packagesDir: string;
  readonly #options: PackageShelfOptions;
  /** Packages are installed under kernel locks of names that begin so: the same for all who share the directory. */
  readonly #lockPrefix: string;
  #warned = false;

  constructor(options: PackageShelfOptions) {
    this.packagesDir = options.packagesDir;
    this.#options = options;
    const place = createHash("sha256").update(options.packagesDir).digest("hex");
    this.#lockPrefix = `ol-pkg-${place.slice(0, 16)}`;
  }

  /** Where a package's directory is. */
  pathOf(directory: string): string {
    return join(this.packagesDir, directory);
  }

  /** Whether the package is there. */
  async has(directory: string): Promise<boolean> {
    return (await statOf(this.pathOf(directory)))?.isDirectory() ?? false;
  }

  /** Whether its .pyc files are there. */
  async isCompiled(directory: string): Promise<boolean> {
    return (await statOf(join(this.pathOf(directory), COMPILED))) !== undefined;
  }

  /** The right to add or remove that package; undefined while somebody else has it. */
  claim(directory: string): Promise<HeldLock | undefined> {
    return tryLock(this.#lockName(directory), `installs ${directory} (process ${process.pid})`);
  }

  /** Settles when nobody has that right. Rejects with the signal's reason. */
  unclaimed(directory: string, signal: AbortSignal): Promise<void> {
    return lockFree(this.#lockName(directory), () => undefined, signal);
  }

  /** Notes that it is in use, which keeps `gc` from removing it. False if it is gone already. */
  async noteUse(directory: string): Promise<boolean> {
    const path = this.pathOf(directory);
    const found = await statOf(path);
    if (found === undefined) return false;
    if (Date.now() - found.mtimeMs < NOTE_USE_MS) return true;
    const claim = await this.claim(directory);
    try {
      // Without the right to it somebody is adding it, or about to remove it; then it is soon known which.
      if (claim === undefined) await this.unclaimed(directory, AbortSignal.timeout(NOTE_WAIT_MS));
      await utimes(path, new Date(), new Date());
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      this.#warn(error);
      return true;
    } finally {
      await claim?.release();
    }
  }

  /** Once: whoever owns them decides how long they stay. */
  #warn(error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#options.logger.warn(
      "that packages are in use cannot be noted; ol-admin packages gc goes by when they were installed",
      { error: messageOf(error) },
    );
  }

  #lockName(directory: string): string {
    // The hash alone, since a kernel lock's name has 107 bytes: of all that names a package it is what differs.
    const [python = ""] = directory.split("/");
    return `${this.#lockPrefix}-${python}-${directory.slice(-HASH_LENGTH)}`;
  }
}

const HASH_LENGTH = 12;
/** Removing is renaming, done at once; only installing takes longer, and then it is not there yet. */
const NOTE_WAIT_MS = 10_000;

const statOf = async (path: string): Promise<Stats | undefined> => {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
};
