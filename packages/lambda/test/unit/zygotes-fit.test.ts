import { describe, expect, it } from "vitest";

import {
  type FitRecord,
  fitTree,
  LEAST_NODE_MB,
  type PackageSet,
  parseZygoteTree,
  StaticTree,
} from "../../src/index.ts";
import { packageSet, pin, ZygoteKeeper } from "../zygote-keeper.ts";

const COSTS: Readonly<Record<string, { ms: number; mb: number }>> = {
  numpy: { ms: 30, mb: 6 },
  pandas: { ms: 110, mb: 25 },
  scipy: { ms: 400, mb: 30 },
  flask: { ms: 40, mb: 6 },
  thread: { ms: 500, mb: 1 },
};

const startsOf = (set: PackageSet, times: number): FitRecord[] => {
  const costs = new Map(set.pins.map((one) => [one, COSTS[one.split("==")[0] ?? ""] ?? { ms: 0, mb: 0 }]));
  return Array.from({ length: times }, () => ({ set, costs }));
};

const pandas = packageSet("numpy pandas", { pandas: "numpy" });
const scipy = packageSet("numpy scipy", { scipy: "numpy" });
const trace = [...startsOf(pandas, 30), ...startsOf(scipy, 20), ...startsOf(packageSet("flask"), 5)];

describe("a tree fitted to a trace", () => {
  it("has what spares most within its memory, and shares what is common", () => {
    const { tree, memoryMb, withMs, withoutMs } = fitTree(trace, { memoryMb: 100 });
    expect(tree).toEqual({
      packages: [],
      children: [
        {
          packages: ["numpy==1"],
          children: [
            { packages: ["pandas==1"], children: [] },
            { packages: ["scipy==1"], children: [] },
          ],
        },
        { packages: ["flask==1"], children: [] },
      ],
    });
    expect(memoryMb).toBe(6 + 25 + 30 + 6 + 4 * LEAST_NODE_MB);
    expect(withoutMs).toBeCloseTo((30 * 140 + 20 * 430 + 5 * 40) / 55);
    // What is left is what forking from large zygotes costs.
    expect(withMs).toBeLessThan(2);
  });

  it("gives up what is worth least where memory is short, and never exceeds it", () => {
    const names: string[][] = [];
    for (const memoryMb of [0, 10, 15, 43, 62, 82, 100]) {
      const fitted = fitTree(trace, { memoryMb });
      expect(fitted.memoryMb).toBeLessThanOrEqual(memoryMb);
      names.push((JSON.stringify(fitted.tree).match(/[a-z]+(?===)/gu) ?? []).sort());
    }
    expect(names).toEqual([
      [],
      [],
      ["numpy"],
      ["numpy", "scipy"],
      ["flask", "numpy", "scipy"],
      ["numpy", "pandas", "scipy"],
      ["flask", "numpy", "pandas", "scipy"],
    ]);
  });

  it("leaves out what cannot be in a zygote, with all that needs it", () => {
    const set = packageSet("thread user flask", { user: "thread" });
    const { tree } = fitTree(startsOf(set, 10), { memoryMb: 100, excluded: [pin("thread")] });
    expect(tree.children.map(({ packages }) => packages)).toEqual([["flask==1"]]);
  });

  it("is the same for the same trace, and nothing for an empty one", () => {
    expect(fitTree(trace, { memoryMb: 50 })).toEqual(fitTree(trace, { memoryMb: 50 }));
    expect(fitTree([], { memoryMb: 50 })).toEqual({
      tree: { packages: [], children: [] },
      memoryMb: 0,
      withoutMs: 0,
      withMs: 0,
    });
  });

  it("can be given to a worker as it is", () => {
    const { tree } = fitTree(trace, { memoryMb: 100 });
    const keeper = new ZygoteKeeper(new StaticTree({ plan: parseZygoteTree(tree), budgetMb: 100 }), COSTS);
    expect([...keeper.maskOf(keeper.settle(scipy))].sort()).toEqual([pin("numpy"), pin("scipy")]);
    expect([...keeper.maskOf(keeper.settle(pandas))].sort()).toEqual([pin("numpy"), pin("pandas")]);
  });
});
