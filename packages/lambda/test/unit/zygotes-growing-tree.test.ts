import { describe, expect, it } from "vitest";

import { GrowingTree, type GrowingTreeOptions, LEAST_NODE_MB } from "../../src/index.ts";
import { packageSet, pin, ZygoteKeeper } from "../zygote-keeper.ts";

const COSTS = {
  small: { ms: 1, mb: 0.1 },
  numpy: { ms: 30, mb: 6 },
  pandas: { ms: 110, mb: 25 },
  scipy: { ms: 400, mb: 30 },
  flask: { ms: 40, mb: 6 },
};

const keeperOf = (options: Partial<GrowingTreeOptions> = {}): ZygoteKeeper =>
  new ZygoteKeeper(new GrowingTree({ budgetMb: 200, ...options }), COSTS);

const numpy = packageSet("numpy");
const pandas = packageSet("numpy pandas", { pandas: "numpy" });
const flask = packageSet("flask");

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

describe("what fails or dies in a growing tree", () => {
  it("is built once more, and then not for ten minutes, then twenty", () => {
    const keeper = keeperOf();
    const fail = (): void => {
      keeper.start(numpy, 5);
      expect(keeper.building?.pins).toEqual([pin("numpy")]);
      keeper.fail("ImportError");
    };
    fail();
    fail();
    for (const banMs of [600_000, 1_200_000]) {
      const failedMs = keeper.nowMs;
      keeper.nowMs = failedMs + banMs - 6_000;
      keeper.start(numpy, 5);
      expect(keeper.building).toBeUndefined();
      keeper.nowMs = failedMs + banMs;
      fail();
    }
  });

  it("begins anew if it lived for long", () => {
    const keeper = keeperOf();
    for (let death = 0; death < 5; death += 1) {
      keeper.start(numpy, 5);
      const node = keeper.finish();
      keeper.nowMs += 700_000;
      keeper.gone(node);
    }
    keeper.start(numpy, 5);
    expect(keeper.building).toBeDefined();
  });

  it("lives on in what was forked from it: that still serves, and its memory is still counted", () => {
    const keeper = keeperOf();
    const below = keeper.settle(numpy);
    const node = keeper.settle(pandas);
    const { usedMb } = keeper.policy.snapshot(keeper.nowMs);
    keeper.gone(below);
    expect(keeper.policy.choose(numpy)).toBeUndefined();
    expect(keeper.policy.choose(pandas)).toBe(node);
    expect(keeper.policy.snapshot(keeper.nowMs)).toMatchObject({ usedMb, nodes: [{ state: "gone" }, {}] });
    keeper.gone(node);
    expect(keeper.policy.snapshot(keeper.nowMs)).toMatchObject({ usedMb: 0, nodes: [] });
  });

  it("is forked from no more, also if a sandbox of it has just started", () => {
    const keeper = keeperOf();
    const below = keeper.settle(numpy);
    keeper.settle(pandas);
    keeper.gone(below);
    const set = packageSet("numpy scipy", { scipy: "numpy" });
    const costs = new Map([[pin("scipy"), keeper.costOf(pin("scipy"))]]);
    for (let nowMs = keeper.nowMs; nowMs < keeper.nowMs + 10; nowMs += 1)
      expect(keeper.policy.started({ set, node: below, nowMs, costs }).build?.parent).toBeUndefined();
  });
});

describe("a pin that cannot be in a zygote", () => {
  const set = packageSet("numpy pandas flask", { pandas: "numpy" });

  it("is left out with all that needs it, and the rest is built", () => {
    const keeper = keeperOf();
    keeper.start(set, 3);
    keeper.fail("it starts threads", [pin("numpy")]);
    const node = keeper.settle(set);
    expect([...keeper.maskOf(node)]).toEqual([pin("flask")]);
    expect(keeper.policy.snapshot(0).excluded).toEqual(new Map([[pin("numpy"), "it starts threads"]]));
  });

  it("ends the zygotes that have it, children first", () => {
    const keeper = keeperOf();
    const below = keeper.settle(numpy);
    const node = keeper.settle(pandas);
    keeper.exclude(pin("numpy"));
    expect(keeper.ended).toEqual([node, below]);
  });

  it("ends one that is being built as soon as it is ready", () => {
    const keeper = keeperOf();
    keeper.start(numpy, 3);
    keeper.exclude(pin("numpy"));
    expect(keeper.ended).toEqual([]);
    expect(keeper.finish()).toBe(keeper.ended[0]);
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

const grown = (): ZygoteKeeper => {
  const keeper = keeperOf();
  keeper.settle(numpy);
  keeper.settle(pandas);
  keeper.settle(flask);
  keeper.start(pandas, 50);
  keeper.start(packageSet("scipy"), 2);
  return keeper;
};

const restarted = (saved: unknown, nowMs = 5): ZygoteKeeper => {
  const keeper = keeperOf();
  keeper.nowMs = nowMs;
  expect(keeper.policy.restore(JSON.parse(JSON.stringify(saved)), nowMs)).toBeUndefined();
  return keeper;
};

describe("over a restart, a growing tree", () => {
  it("is built again without a start, parents first, what spared most per MB first", () => {
    const before = grown();
    const keeper = restarted(before.policy.save(before.nowMs));
    expect(keeper.policy.snapshot(5).nodes.map(({ state }) => state)).toEqual(["wished", "wished", "wished"]);
    const built: string[][] = [];
    for (keeper.next(); keeper.building !== undefined; keeper.finish())
      built.push([...keeper.building.mask], [...keeper.building.modules]);
    expect(built).toEqual([
      [pin("numpy")],
      ["numpy"],
      [pin("numpy"), pin("pandas")],
      ["pandas"],
      [pin("flask")],
      ["flask"],
    ]);
    expect(keeper.maskOf(keeper.policy.choose(pandas))).toEqual(new Set(pandas.pins));
  });

  it("goes on where it was: candidates have their scores, older ones less", () => {
    const before = grown();
    const buildingAfter = (waitMs: number): readonly string[] | undefined => {
      const keeper = restarted(before.policy.save(before.nowMs + waitMs));
      for (keeper.next(); keeper.building !== undefined;) keeper.finish();
      keeper.start(packageSet("scipy"));
      return keeper.building?.pins;
    };
    expect(buildingAfter(0)).toEqual([pin("scipy")]);
    expect(buildingAfter(1_000_000)).toBeUndefined();
  });

  it("keeps out what was excluded, and what failed", () => {
    const before = keeperOf();
    before.exclude(pin("numpy"));
    for (let failure = 0; failure < 2; failure += 1) {
      before.start(flask, 5);
      before.fail("ImportError");
    }
    const keeper = restarted(before.policy.save(before.nowMs + 1000));
    keeper.start(numpy, 50);
    keeper.start(flask, 50);
    expect(keeper.building).toBeUndefined();
    keeper.nowMs = 600_000;
    keeper.start(flask, 3);
    expect(keeper.building?.pins).toEqual([pin("flask")]);
  });

  it("drops what has no room any more, with what is below it", () => {
    const before = grown();
    const saved = before.policy.save(before.nowMs);
    const keeper = new ZygoteKeeper(new GrowingTree({ budgetMb: 6.5 }));
    expect(keeper.policy.restore(saved, 0)).toBeUndefined();
    keeper.next();
    expect(keeper.building).toBeUndefined();
    expect(keeper.policy.snapshot(0).nodes).toEqual([]);
  });

  it("starts empty from a file that is none of its own, and says why", () => {
    const before = grown();
    const good = before.policy.save(before.nowMs) as Record<string, unknown>;
    const empty = JSON.stringify(keeperOf().policy.save(0));
    const nodes = good["nodes"] as Record<string, unknown>[];
    const bad: unknown[] = [
      undefined,
      null,
      [],
      "text",
      {},
      { ...good, version: 2 },
      { ...good, nodes: [{ ...nodes[0], parent: 7 }] },
      { ...good, nodes: [{ ...nodes[0], parent: "0" }] },
      { ...good, nodes: [{ ...nodes[0], pins: [] }] },
      { ...good, nodes: [{ ...nodes[0], benefit: Number.NaN }] },
      ...Object.keys(good).flatMap((key) => [
        { ...good, [key]: undefined },
        { ...good, [key]: [1] },
        { ...good, [key]: { length: 1 } },
      ]),
    ];
    for (const saved of bad) {
      const { policy } = keeperOf();
      expect([saved, typeof policy.restore(saved, 0)]).toEqual([saved, "string"]);
      expect(JSON.stringify(policy.save(0))).toBe(empty);
    }
  });
});
