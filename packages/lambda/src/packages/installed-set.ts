import { createHash } from "node:crypto";

import type { Pin } from "@ol/bundle";

import type { InstalledPackage, InstalledSet } from "./package-source.ts";

const HASH_LENGTH = 12;

/** The packages that pins are, with `directoryOf` saying where each is, or will be. */
export const installedSet = (pins: readonly Pin[], directoryOf: (pin: Pin) => string): InstalledSet => {
  const packages = pins.map((pin): InstalledPackage => {
    const directory = directoryOf(pin);
    return { ...pin, directory, id: `${pin.name}==${pin.version}+${directory.slice(-HASH_LENGTH)}` };
  });
  const key = createHash("sha256");
  for (const { id } of packages) key.update(`${id}\n`);
  return { key: key.digest("hex").slice(0, 32), packages };
};
