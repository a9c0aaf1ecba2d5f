import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

import type { PinId } from "@ol/lambda";

import { benchError } from "../errors.ts";

/**
 * The frozen data and their SHA-256; data/README.md says where they are from. Results with other data are not to be
 * compared with earlier ones.
 */
export const DATA = {
  "default-tree.json": "f8ace55156d59221fd16ab259bcd9189b10af4fec8e17aaa40432de81d2bcacb",
  "mixed-packages.json": "45442dc092b096b315e2bddc3578d08d495b9979f8e72d0594a7fc1b58897555",
  "pin-costs.json": "8889f820d6641b833a9a1b7f9e2af40d465aa7d3d9077b4de86c53e07d5d692c",
  "requirement-sets.json": "abf3b4c4cb6b57763f51b2c844538896895ea3a7ff5bd31572ad4b8d642cdc28",
} as const;

/** What importing a package costs, without what its requirements cost. */
export interface PackageCost {
  /** Where the standard library is there already. */
  readonly ms: number;
  readonly mb: number;
  /** Where it is not. */
  readonly bareMs: number;
  readonly bareMb: number;
  /** Its top-level modules. */
  readonly top: readonly string[];
  /** Names of what it needs directly. */
  readonly requires: readonly string[];
}

export interface ZygoteData {
  /** By name: what was measured of one version stands for all. */
  readonly costs: ReadonlyMap<string, PackageCost>;
  /** The measured ones, `name==version`. */
  readonly measured: readonly string[];
  /** Locked requirements of real projects, one entry for each project; `name==version`. */
  readonly projects: readonly (readonly string[])[];
  /** The original's default tree, as JSON. */
  readonly defaultTree: unknown;
}

/** The name of `name==version` or of a pin. */
export const nameOf = (pin: string): string => pin.slice(0, pin.indexOf("=="));

/** A pin as the store would have it, with a hash that stands for its wheels'. */
export const pinOf = (requirement: string): PinId =>
  `${requirement}+${createHash("sha256").update(requirement).digest("hex").slice(0, 12)}`;

/** One of the frozen files, as JSON. Fails with OL_BENCH_BASELINE_CHANGED. */
export const readData = async (name: keyof typeof DATA): Promise<unknown> => {
  const text = await readFile(new URL(`../../data/${name}`, import.meta.url), "utf8");
  const hash = createHash("sha256").update(text).digest("hex");
  if (hash !== DATA[name])
    throw benchError(
      "OL_BENCH_BASELINE_CHANGED",
      `data/${name} has the hash ${hash}, recorded is ${DATA[name]}`,
    );
  return JSON.parse(text) as unknown;
};

/** Fails with OL_BENCH_BASELINE_CHANGED. */
export const loadZygoteData = async (): Promise<ZygoteData> => {
  const costs = (await readData("pin-costs.json")) as Record<string, PackageCost>;
  const sets = (await readData("requirement-sets.json")) as { projects: number; pins: string[] }[];
  return {
    costs: new Map(
      Object.entries(costs).map(([pin, cost]) => [
        nameOf(pin),
        { ...cost, requires: cost.requires.map((needed) => nameOf(needed)) },
      ]),
    ),
    measured: Object.keys(costs),
    projects: sets.flatMap(({ projects, pins }) => {
      // A pin has no extras: what they add is among the set's other pins.
      const plain = pins.map((pin) => pin.replace(/\[[^\]]*\]/u, ""));
      return Array.from({ length: projects }, () => plain);
    }),
    defaultTree: await readData("default-tree.json"),
  };
};
