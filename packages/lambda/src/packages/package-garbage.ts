import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { lstat, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

import { packageDirectory, parsePackageDirectory } from "@ol/bundle";

import type { FiledLock } from "./lock-store.ts";
import type { PackageShelf } from "./package-shelf.ts";

/** A package that is installed, as `packages list` shows it. */
export interface ListedPackage {
  readonly name: string;
  readonly version: string;
  /** `3.11-x86_64`. */
  readonly python: string;
  /** Relative to the directory of packages. */
  readonly directory: string;
  readonly bytes: number;
  /** When it was installed or last noted to be in use, which is done some times a day. */
  readonly usedMs: number;
  readonly compiled: boolean;
  /** The lambdas whose locks name it, sorted. */
  readonly lambdas: readonly string[];
}

/** What was collected, or would be. */
export interface GarbageReport {
  readonly removed: readonly ListedPackage[];
  readonly bytes: number;
  /** How many packages stay. */
  readonly kept: number;
  /** How many things were removed that somebody left unfinished. */
  readonly unfinished: number;
}

/** What is collected. */
export interface GarbageOptions {
  /** Since when nobody may have used it; at least a day, since uses are noted no more exactly than that. At the limit: it is garbage. */
  readonly olderThanMs: number;
  /** Removes nothing. */
  readonly dryRun: boolean;
}

/** Begins the names of what is no package (any more); see ol_host/keeping.py. */
const UNFINISHED = ".";
/** What flock exits with if somebody has the lock. */
const LOCKED = 75;

/** All that is installed, sorted by name. */
export const listPackages = async (
  shelf: PackageShelf,
  locks: readonly FiledLock[],
): Promise<readonly ListedPackage[]> => {
  const lambdas = lambdasByDirectory(locks);
  const found: ListedPackage[] = [];
  for (const python of await namesIn(shelf.packagesDir))
    for (const name of await namesIn(shelf.pathOf(python))) {
      const parsed = parsePackageDirectory(name);
      if (parsed === undefined) continue;
      const directory = `${python}/${name}`;
      const path = shelf.pathOf(directory);
      found.push({
        name: parsed.name,
        version: parsed.version,
        python,
        directory,
        bytes: await sizeOf(path),
        usedMs: (await lstat(path)).mtimeMs,
        compiled: await shelf.isCompiled(directory),
        lambdas: [...(lambdas.get(directory) ?? [])].sort(),
      });
    }
  return found.sort((one, other) => (one.directory < other.directory ? -1 : 1));
};

/** Whether nobody needs it: no lock names it, and nobody used it for that long. */
export const isGarbage = (
  { lambdas, usedMs }: Pick<ListedPackage, "lambdas" | "usedMs">,
  nowMs: number,
  olderThanMs: number,
): boolean => lambdas.length === 0 && nowMs - usedMs >= olderThanMs;

/** Removes what nobody needs, and what somebody left unfinished who was ended. */
export const collectGarbage = async (
  shelf: PackageShelf,
  locks: readonly FiledLock[],
  { olderThanMs, dryRun }: GarbageOptions,
): Promise<GarbageReport> => {
  const all = await listPackages(shelf, locks);
  const removed: ListedPackage[] = [];
  for (const one of all) {
    if (!isGarbage(one, Date.now(), olderThanMs)) continue;
    if (dryRun || (await remove(shelf, one, olderThanMs))) removed.push(one);
  }
  const unfinished = dryRun ? 0 : await removeUnfinished(shelf);
  const bytes = removed.reduce((sum, one) => sum + one.bytes, 0);
  return { removed, bytes, kept: all.length - removed.length, unfinished };
};

/** Whether it was removed: it is not if somebody began to use it meanwhile, or is adding to it. */
const remove = async (shelf: PackageShelf, one: ListedPackage, olderThanMs: number): Promise<boolean> => {
  // Who notes a use has the same right.
  await using claim = await shelf.claim(one.directory);
  if (claim === undefined) return false;
  const path = shelf.pathOf(one.directory);
  const { mtimeMs } = await lstat(path);
  if (!isGarbage({ ...one, usedMs: mtimeMs }, Date.now(), olderThanMs)) return false;
  // At once or not at all: nobody sees half a package.
  const trash = shelf.pathOf(join(one.python, `${UNFINISHED}gc.${randomBytes(6).toString("hex")}`));
  await rename(path, trash);
  await rm(trash, { recursive: true, force: true });
  return true;
};

const removeUnfinished = async (shelf: PackageShelf): Promise<number> => {
  let count = 0;
  for (const python of await namesIn(shelf.packagesDir))
    for (const name of await readdir(shelf.pathOf(python))) {
      const path = shelf.pathOf(join(python, name));
      if (!name.startsWith(UNFINISHED) || (await isLocked(path))) continue;
      await rm(path, { recursive: true, force: true });
      count += 1;
    }
  return count;
};

/** Whoever is at work on it has the lock; Node cannot ask for one by itself. */
const isLocked = async (path: string): Promise<boolean> => {
  try {
    await promisify(execFile)("flock", ["--nonblock", "--conflict-exit-code", String(LOCKED), path, "true"]);
    return false;
  } catch (error) {
    if ((error as { code?: unknown }).code === LOCKED) return true;
    throw error;
  }
};

const lambdasByDirectory = (locks: readonly FiledLock[]): ReadonlyMap<string, ReadonlySet<string>> => {
  const found = new Map<string, Set<string>>();
  for (const { lambda, lock } of locks)
    for (const pin of lock.pins) {
      const directory = `${lock.python}-${lock.machine}/${packageDirectory(pin)}`;
      const lambdas = found.get(directory) ?? new Set();
      found.set(directory, lambdas.add(lambda));
    }
  return found;
};

/** Directories that are not hidden. None if the directory is not there. */
const namesIn = async (directory: string): Promise<readonly string[]> => {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.flatMap((one) =>
      one.isDirectory() && !one.name.startsWith(UNFINISHED) ? [one.name] : [],
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
};

/** Of all files in it, in bytes. */
const sizeOf = async (directory: string): Promise<number> => {
  let bytes = 0;
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    bytes += entry.isDirectory() ? await sizeOf(path) : (await lstat(path)).size;
  }
  return bytes;
};
