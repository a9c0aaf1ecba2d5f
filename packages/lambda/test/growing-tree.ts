import { GrowingTree, type GrowingTreeOptions, type PackageSet } from "../src/index.ts";
import { packageSet, ZygoteKeeper } from "./zygote-keeper.ts";

const COSTS = {
  small: { ms: 1, mb: 0.1 },
  numpy: { ms: 30, mb: 6 },
  pandas: { ms: 110, mb: 25 },
  scipy: { ms: 400, mb: 30 },
  flask: { ms: 40, mb: 6 },
};

/** Keeps a growing tree of 200 MB, unless the options say otherwise. */
export const keeperOf = (options: Partial<GrowingTreeOptions> = {}): ZygoteKeeper =>
  new ZygoteKeeper(new GrowingTree({ budgetMb: 200, ...options }), COSTS);

export const numpy: PackageSet = packageSet("numpy");
/** Needs numpy. */
export const pandas: PackageSet = packageSet("numpy pandas", { pandas: "numpy" });
export const flask: PackageSet = packageSet("flask");
