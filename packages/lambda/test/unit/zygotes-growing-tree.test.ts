import { describe, expect, it } from "vitest";

import { GrowingTree, LEAST_NODE_MB } from "../../src/index.ts";
import { flask, keeperOf, numpy, pandas } from "../growing-tree.ts";
import { packageSet, pin, ZygoteKeeper } from "../zygote-keeper.ts";

describe("a growing tree", () => {
  it("makes a zygote once its like would have earned its making, and forks from it when it is ready", () => {
    const keeper = keeperOf();
    keeper.start(numpy, 2);
    expect(keeper.building).toBeUndefined();
    keeper.start(numpy);
    expect(keeper.building).toMatchObject({
      parent: undefined,
      pins: [pin("numpy")],
      mask: [pin("numpy")],
      modules: ["numpy"],
      estimate: { ms: 30, mb: 6 + LEAST_NODE_MB },
    });
    expect(keeper.start(numpy)).toBeUndefined();
    const node = keeper.finish();
    expect(keeper.start(numpy)).toBe(node);
    expect(keeper.policy.snapshot(keeper.nowMs).nodes).toMatchObject([{ node, state: "ready", uses: 1 }]);
  });

  it("makes none for what is imported in no time", () => {
    const keeper = keeperOf();
    keeper.start(packageSet("small"), 100);
    expect(keeper.building).toBeUndefined();
  });

  it("grows below what it has, and forks from what spares most", () => {
    const keeper = keeperOf();
    const below = keeper.settle(numpy);
    const node = keeper.settle(pandas);
    expect(keeper.policy.choose(pandas)).toBe(node);
    expect(keeper.policy.choose(numpy)).toBe(below);
    expect(keeper.policy.snapshot(0).nodes).toMatchObject([
      { node: below, parent: undefined, pins: [pin("numpy")] },
      { node, parent: below, pins: [pin("pandas")] },
    ]);
  });

  it("imports what others need before those", () => {
    const keeper = keeperOf();
    keeper.start(packageSet("pandas small numpy", { pandas: "numpy small" }), 3);
    expect(keeper.building?.modules).toEqual(["numpy", "small", "pandas"]);
  });

  it("never forks where there is another version of a package", () => {
    const keeper = keeperOf();
    keeper.settle(flask);
    keeper.settle(packageSet("numpy==1 flask"));
    expect([...keeper.maskOf(keeper.policy.choose(packageSet("numpy==2 flask")))]).toEqual([pin("flask")]);
    expect(keeper.policy.choose(packageSet("numpy==2"))).toBeUndefined();
  });

  it("makes a zygote above the one that a start was forked from, if others can share that", () => {
    const keeper = new ZygoteKeeper(new GrowingTree({ budgetMb: 1000 }), {
      flask: { ms: 40, mb: 6 },
      requests: { ms: 30, mb: 4 },
      scipy: { ms: 500, mb: 40 },
    });
    for (const name of ["flask", "requests"]) keeper.settle(packageSet(name));
    // Neither of the two is called often enough for a zygote of its own.
    for (const name of ["flask", "requests"])
      for (let start = 0; start < 2; start += 1) keeper.start(packageSet(`${name} scipy`));
    keeper.settle(packageSet("flask scipy"));
    expect(keeper.maskOf(keeper.policy.choose(packageSet("scipy")))).toEqual(new Set([pin("scipy")]));
  });

  it("nests no deeper than the engine does", () => {
    const names = Array.from({ length: 30 }, (_, place) => `p${place}`);
    const costs = Object.fromEntries(names.map((name) => [name, { ms: 100, mb: 1 }]));
    const keeper = new ZygoteKeeper(new GrowingTree({ budgetMb: 1000 }), costs);
    for (let count = 1; count <= names.length; count += 1)
      keeper.settle(packageSet(names.slice(0, count).join(" ")));
    const nodes = new Map(keeper.policy.snapshot(0).nodes.map((node) => [node.node, node]));
    const depthOf = (id: string | undefined): number => {
      const node = id === undefined ? undefined : nodes.get(id);
      return node === undefined ? 0 : 1 + depthOf(node.parent);
    };
    expect(Math.max(...[...nodes.keys()].map((id) => depthOf(id)))).toBe(25);
  });
});

describe("where memory is short, a growing tree", () => {
  it("ends what spared least per MB, if the new one is worth half as much again", () => {
    const keeper = keeperOf({ budgetMb: 46 });
    const first = keeper.settle(numpy);
    const second = keeper.settle(flask);
    keeper.start(flask, 5);
    keeper.start(packageSet("scipy"), 3);
    // 36.5 MB do not fit beside either.
    expect(keeper.ended).toEqual([first, second]);
    expect(keeper.building?.pins).toEqual([pin("scipy")]);
  });

  it("makes one of a zygote and its only child, rather than doing without another", () => {
    const keeper = keeperOf({ budgetMb: 52 });
    const above = keeper.settle(numpy);
    const below = keeper.settle(pandas);
    keeper.start(pandas, 60);
    keeper.start(flask, 24);
    expect(keeper.ended).toEqual([below, above]);
    expect(keeper.building).toMatchObject({ parent: undefined, pins: [pin("numpy"), pin("pandas")] });
    const merged = keeper.finish();
    keeper.settle(flask);
    expect(keeper.ended).toEqual([below, above]);
    expect(keeper.policy.choose(pandas)).toBe(merged);
    expect(keeper.maskOf(keeper.policy.choose(flask))).toEqual(new Set([pin("flask")]));
  });

  it("leaves a zygote and its only child apart, if enough starts need only the one above", () => {
    const keeper = keeperOf({ budgetMb: 52 });
    keeper.settle(numpy);
    keeper.settle(pandas);
    keeper.start(pandas, 60);
    keeper.start(numpy, 120);
    keeper.start(flask, 24);
    expect(keeper.ended).toEqual([]);
    expect(keeper.building).toBeUndefined();
  });

  it("keeps what is worth more", () => {
    const keeper = keeperOf({ budgetMb: 46 });
    const first = keeper.settle(packageSet("scipy"));
    keeper.start(packageSet("scipy"), 20);
    keeper.start(numpy, 20);
    expect(keeper.ended).toEqual([]);
    expect(keeper.policy.choose(packageSet("scipy"))).toBe(first);
    // Long after, nobody uses it any more.
    keeper.nowMs += 6_000_000;
    keeper.start(numpy, 3);
    expect(keeper.ended).toEqual([first]);
  });

  it("counts what was measured, and gives up at once what turned out too large", () => {
    const keeper = keeperOf({ budgetMb: 35 });
    keeper.start(numpy, 3);
    const node = keeper.finish({ ms: 30, mb: 60 });
    expect(keeper.ended).toEqual([node]);
    // Now it is known.
    keeper.start(numpy, 20);
    expect(keeper.building).toBeUndefined();
  });

  it("believes its own zygotes more than lambdas", () => {
    const keeper = keeperOf();
    keeper.start(numpy, 3);
    const node = keeper.finish({ ms: 3, mb: 7 });
    keeper.gone(node);
    keeper.start(numpy, 2);
    expect(keeper.building?.estimate).toEqual({ ms: 3, mb: 7 });
  });

  it("finds a zygote worth less whose packages lambdas load once more", () => {
    const keeper = keeperOf();
    const node = keeper.settle(packageSet("scipy"));
    const benefit = (): number => keeper.policy.snapshot(keeper.nowMs).nodes[0]?.benefit ?? 0;
    const before = benefit();
    const costs = new Map([[pin("scipy"), { ms: 400, mb: 30, modules: ["scipy.stats"] }]]);
    keeper.policy.started({ set: packageSet("scipy"), node, nowMs: keeper.nowMs, costs });
    expect(benefit()).toBeLessThan(before);
  });
});
