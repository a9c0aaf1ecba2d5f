import type { Requirement } from "@ol/bundle";

import { type InstalledSet, lambdaError, type PackageRequest, type PackageSource } from "../../src/index.ts";
import type { Registry } from "./registry.ts";

/** bad: there is no such package · away: the index does not answer at first · long: longer than any call waits. */
export type Installing = "quick" | "slow" | "long" | "bad" | "away";

export const INSTALLING: readonly Installing[] = ["quick", "slow", "long", "bad", "away"];

const TIMES_MS: Readonly<Record<Installing, number>> = {
  quick: 3,
  slow: 1_500,
  long: 20_000,
  bad: 300,
  away: 800,
};
/** So often it does not answer. */
const AWAY = 2;

export const REQUIREMENTS: readonly Requirement[] = [
  { name: "p", extras: [], specifier: "", marker: "", text: "p", modules: [], hashes: [], line: 1 },
];

const SET: InstalledSet = { key: "p", packages: [] };

/** Installs in virtual time, and knows what was asked for. */
export class Index implements PackageSource {
  readonly #registry: Registry;
  readonly #asked = new Map<string, number>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async provide({ digest }: PackageRequest): Promise<InstalledSet> {
    const how = this.#registry.versions.get(digest)?.packages;
    if (how === undefined) throw new Error(`packages are asked for that ${digest} does not name`);
    const times = (this.#asked.get(digest) ?? 0) + 1;
    this.#asked.set(digest, times);
    await new Promise((resolve) => setTimeout(resolve, TIMES_MS[how]));
    if (how === "bad") throw lambdaError("OL_LAMBDA_BAD_PACKAGES", "there is no version of p");
    if (how === "away" && times <= AWAY)
      throw lambdaError("OL_LAMBDA_PACKAGES_UNAVAILABLE", "the package index cannot be reached");
    return SET;
  }
}
