import { describe, expect, it } from "vitest";

import { flask, keeperOf, numpy } from "../growing-tree.ts";
import { packageSet, pin, type ZygoteKeeper } from "../zygote-keeper.ts";

/** The guest names these modules. */
const started = (keeper: ZygoteKeeper, modules: readonly string[], set = numpy): void => {
  keeper.nowMs += 1;
  const costs = new Map([[pin("numpy"), { ms: 30, mb: 6, modules }]]);
  const { build } = keeper.policy.started({ set, node: undefined, nowMs: keeper.nowMs, costs });
  if (build !== undefined) keeper.building = build;
};

describe("what a growing tree imports", () => {
  it("is what at least half of the starts loaded", () => {
    const keeper = keeperOf({ payback: 3.5 });
    started(keeper, ["numpy", "numpy.fft"]);
    started(keeper, ["numpy", "numpy.linalg"]);
    started(keeper, ["numpy", "numpy.fft"]);
    started(keeper, ["numpy"]);
    expect(keeper.building?.modules).toEqual(["numpy", "numpy.fft"]);
  });

  it("is what all of them loaded while there are fewer than three", () => {
    const keeper = keeperOf({ payback: 1 });
    started(keeper, ["numpy", "numpy.fft"]);
    started(keeper, ["numpy", "numpy.linalg"]);
    expect(keeper.building?.modules).toEqual(["numpy"]);
  });

  it("is nothing that is no module, or no module of that package, whatever a guest says", () => {
    const keeper = keeperOf({ payback: 1 });
    const set = packageSet("numpy", {}, { numpy: "numpy" });
    const lies = [
      "os; import sys",
      "../numpy",
      "",
      "numpy.",
      `numpy.${"x".repeat(200)}`,
      "numpyx",
      "antigravity",
    ];
    started(keeper, ["numpy.core", ...lies], set);
    started(keeper, ["numpy.core", ...lies], set);
    expect(keeper.building?.modules).toEqual(["numpy.core"]);
  });

  it("fits into one message, however many modules guests name", () => {
    const keeper = keeperOf({ payback: 1 });
    const names = Array.from({ length: 20 }, (_, place) => `p${place}`);
    const set = packageSet(names.join(" "));
    const modules = Array.from({ length: 500 }, (_, place) => `m.${"x".repeat(120)}${place}`);
    const costs = new Map(set.pins.map((one) => [one, { ms: 10, mb: 0, modules }]));
    keeper.policy.started({ set, node: undefined, nowMs: 1, costs });
    const { build } = keeper.policy.started({ set, node: undefined, nowMs: 2, costs });
    expect(build?.modules.length).toBeGreaterThan(20);
    expect(JSON.stringify(build).length).toBeLessThan(48 * 1024);
  });

  it("costs no more than can be, whatever a guest says", () => {
    const { policy } = keeperOf();
    for (const lie of [Number.NaN, Number.POSITIVE_INFINITY, -1e9, 1e300]) {
      const costs = new Map([[pin("numpy"), { ms: lie, mb: lie, modules: ["numpy"] }]]);
      for (let nowMs = 0; nowMs < 10; nowMs += 1)
        policy.started({ set: numpy, node: undefined, nowMs, costs });
    }
    const { usedMb, nodes } = policy.snapshot(10);
    expect(usedMb).toBeLessThanOrEqual(200);
    expect(JSON.stringify([nodes, policy.save(10)])).not.toContain("null");
  });

  it("teaches nothing of pins that a start does not declare", () => {
    const keeper = keeperOf();
    const costs = new Map([[pin("scipy"), { ms: 400, mb: 30, modules: ["scipy"] }]]);
    for (let nowMs = 0; nowMs < 10; nowMs += 1)
      keeper.policy.started({ set: numpy, node: undefined, nowMs, costs });
    keeper.nowMs = 10;
    expect(JSON.stringify(keeper.policy.save(10))).not.toContain("scipy");
  });
});

describe("a package that another one uses if it is there", () => {
  it("keeps a lambda away from a zygote that imported the other without it", () => {
    const provides = { flask: "flask", small: "small_module" };
    const keeper = keeperOf();
    keeper.start(flask, 3);
    const node = keeper.finish({ ms: 40, mb: 7, sought: ["small_module", "other"] });
    expect(keeper.policy.choose(packageSet("flask", {}, provides))).toBe(node);
    const both = packageSet("flask small", {}, provides);
    expect(keeper.policy.choose(both)).toBeUndefined();
    const own = keeper.settle(both);
    expect([...keeper.maskOf(own)]).toEqual([pin("flask"), pin("small")]);
  });

  it("keeps none away that looked for a part of a namespace which its own packages do not have", () => {
    const provides = { flask: "google", small: "google" };
    const keeper = keeperOf();
    keeper.start(flask, 3);
    const node = keeper.finish({ ms: 40, mb: 7, sought: ["google"] });
    expect(keeper.policy.choose(packageSet("flask", {}, provides))).toBe(node);
    // That part may be this one's.
    expect(keeper.policy.choose(packageSet("flask small", {}, provides))).toBeUndefined();
  });
});
