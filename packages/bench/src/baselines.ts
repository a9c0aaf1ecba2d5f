import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { benchError } from "./errors.ts";

/**
 * The frozen programs and their SHA-256; docs/benchmarks.md lists the same. A baseline that changes makes every
 * earlier ratio incomparable: then it gets a new name, and the old one stays.
 */
export const BASELINES = {
  "fork-floor.py": "5be8009fbd7da0b4aa707ff625a5708cbe9cd059a048daa7d3ebd30536c6faa4",
  "http-server.mjs": "8debc760c7a1f8282b8a99f5e949bff1e0dc016fbc010b9df7aadf54951f7c9a",
  "load.mjs": "f1432a766bdad9f451398486c52bfed31b4d3ce526cbe8a72cbe0d3efd87098b",
} as const;

export type BaselineName = keyof typeof BASELINES;

/** Where a baseline's file is. */
export const baselinePath = (name: BaselineName): string =>
  fileURLToPath(new URL(`../baselines/${name}`, import.meta.url));

/** Refuses to measure against changed baselines: OL_BENCH_BASELINE_CHANGED names the first that differs. */
export const verifyBaselines = async (): Promise<void> => {
  for (const [name, expected] of Object.entries(BASELINES)) {
    const content = await readFile(baselinePath(name as BaselineName));
    const actual = createHash("sha256").update(content).digest("hex");
    if (actual !== expected)
      throw benchError(
        "OL_BENCH_BASELINE_CHANGED",
        `baselines/${name} has the hash ${actual}, recorded is ${expected}`,
      );
  }
};
