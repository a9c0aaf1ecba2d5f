import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import type { Pin } from "@ol/bundle";

import type { InstalledSet, LockedPackage } from "./package-source.ts";

const HASH_LENGTH = 12;
const MODULE_FILE = /^(?<name>[\p{ID_Start}_][\p{ID_Continue}]*)(?:\.[^/]+)?\.(?:py|so)$/u;
const MODULE_DIRECTORY = /^(?!__|bin$)[\p{ID_Start}_][\p{ID_Continue}]*$/u;

/** The packages that pins are, with `directoryOf` saying where each is, or will be. */
export const lockedPackages = (
  pins: readonly Pin[],
  directoryOf: (pin: Pin) => string,
): readonly LockedPackage[] =>
  pins.map((pin) => {
    const directory = directoryOf(pin);
    return { ...pin, directory, id: `${pin.name}==${pin.version}+${directory.slice(-HASH_LENGTH)}` };
  });

/** Packages that are installed below `packagesDir`. */
export const installedSet = async (
  locked: readonly LockedPackage[],
  packagesDir: string,
): Promise<InstalledSet> => {
  const key = createHash("sha256");
  for (const { id } of locked) key.update(`${id}\n`);
  const packages = await Promise.all(
    locked.map(async (one) => ({ ...one, modules: await topLevel(join(packagesDir, one.directory)) })),
  );
  return { key: key.digest("hex").slice(0, 32), packages };
};

/** The names that can be imported from a package directory. */
const topLevel = async (directory: string): Promise<readonly string[]> => {
  const names = new Set<string>();
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory() && MODULE_DIRECTORY.test(entry.name)) names.add(entry.name);
    const { name } = (entry.isFile() ? MODULE_FILE.exec(entry.name)?.groups : undefined) ?? {};
    if (name !== undefined) names.add(name);
  }
  return [...names].sort();
};
