import { describe, expect, it } from "vitest";

import { isOlError } from "@ol/common";

import { parseZygoteTree, StaticTree } from "../../src/index.ts";
import { packageSet, pin, ZygoteKeeper } from "../zygote-keeper.ts";

const COSTS = {
  numpy: { ms: 30, mb: 6 },
  pandas: { ms: 110, mb: 25 },
  pytz: { ms: 5, mb: 1 },
  flask: { ms: 40, mb: 6 },
};

const keeperOf = (tree: unknown, budgetMb = 200): ZygoteKeeper =>
  new ZygoteKeeper(new StaticTree({ plan: parseZygoteTree(tree), budgetMb }), COSTS);

const tree = {
  packages: [],
  split_generation: 0,
  children: [
    { packages: ["NumPy"], children: [{ packages: ["pandas"] }, { packages: ["pandas", "absent"] }] },
    { packages: ["flask==2"] },
  ],
};
const pandas = packageSet("numpy==1 pandas==1 pytz", { pandas: "numpy pytz" });

describe("a tree of a plan", () => {
  it("is made where a lambda has all of a zygote's packages, from the root on, with what these need", () => {
    const keeper = keeperOf(tree);
    expect(keeper.building).toBeUndefined();
    keeper.start(pandas);
    expect(keeper.building).toMatchObject({ parent: undefined, pins: [pin("numpy")], modules: ["numpy"] });
    const below = keeper.finish();
    expect(keeper.building).toMatchObject({ parent: below, pins: [pin("pytz"), pin("pandas")] });
    const node = keeper.finish();
    expect(keeper.building).toBeUndefined();
    expect(keeper.start(pandas)).toBe(node);
    expect(keeper.start(packageSet("numpy"))).toBe(below);
    expect(keeper.start(packageSet("pytz"))).toBeUndefined();
    expect(keeper.building).toBeUndefined();
  });

  it("has a zygote once for each version in use, and only the version that the plan names", () => {
    const keeper = keeperOf(tree);
    const one = keeper.settle(packageSet("numpy==1"));
    const two = keeper.settle(packageSet("numpy==2"));
    expect([...keeper.maskOf(one)]).toEqual([pin("numpy==1")]);
    expect([...keeper.maskOf(two)]).toEqual([pin("numpy==2")]);
    expect(keeper.settle(packageSet("flask==1"))).toBeUndefined();
    expect([...keeper.maskOf(keeper.settle(packageSet("flask==2")))]).toEqual([pin("flask==2")]);
  });

  it("ends what was not used for ten minutes where memory is short, and nothing else", () => {
    const keeper = keeperOf(tree, 20);
    const one = keeper.settle(packageSet("numpy==1"));
    keeper.start(packageSet("flask==2"), 5);
    expect(keeper.ended).toEqual([]);
    expect(keeper.building).toBeUndefined();
    keeper.nowMs += 600_000;
    keeper.start(packageSet("flask==2"));
    expect(keeper.ended).toEqual([one]);
    expect(keeper.building?.pins).toEqual([pin("flask==2")]);
  });

  it("imports the top-level modules of what no lambda has loaded yet, and makes nothing that would import nothing", () => {
    const keeper = new ZygoteKeeper(new StaticTree({ plan: parseZygoteTree(tree), budgetMb: 99 }), {
      numpy: { modules: [] },
    });
    keeper.start(packageSet("numpy"));
    expect(keeper.building).toBeUndefined();
    keeper.start(packageSet("numpy", {}, { numpy: "numpy" }));
    expect(keeper.building?.modules).toEqual(["numpy"]);
  });

  it("goes on with the next zygote when one fails, and leaves out what cannot be in one", () => {
    const keeper = keeperOf(tree);
    keeper.start(pandas);
    keeper.start(packageSet("flask==2"));
    keeper.fail("it leaves a socket open", [pin("pytz")]);
    expect(keeper.building?.pins).toEqual([pin("flask==2")]);
    keeper.finish();
    expect([...keeper.maskOf(keeper.settle(pandas))]).toEqual([pin("numpy")]);
  });

  it("knows after a restart what lambdas load", () => {
    const before = keeperOf(tree);
    before.settle(pandas);
    const keeper = new ZygoteKeeper(new StaticTree({ plan: parseZygoteTree(tree), budgetMb: 99 }));
    expect(keeper.policy.restore(JSON.parse(JSON.stringify(before.policy.save(0))), 0)).toBeUndefined();
    keeper.policy.started({ set: pandas, node: undefined, nowMs: 1 });
    const { build } = keeper.policy.built("z1", { ms: 30, mb: 7 }, 2);
    expect(build?.modules).toEqual(["pytz", "pandas"]);
    expect(keeper.policy.restore({ version: 3 }, 0)).toContain("version");
  });
});

describe("the JSON of a tree", () => {
  it.each([
    [[], "import_cache_tree: this is not an object"],
    [{ packages: ["numpy"] }, "import_cache_tree.packages: the root has none"],
    [{ packages: {} }, "import_cache_tree.packages: this is not a list"],
    [{ children: 5 }, "import_cache_tree.children: this is not a list"],
    [{ children: [{ packages: [] }] }, "import_cache_tree.children[0].packages: a zygote without a package"],
    [
      { children: [{ packages: ["a"], child: [] }] },
      'import_cache_tree.children[0]: there is no key "child"',
    ],
    [
      { children: [{ packages: ["a"] }, { packages: ["b", 7] }] },
      "import_cache_tree.children[1].packages[1]: this is not the name of a package",
    ],
    [
      { children: [{ packages: ["a>=1"] }] },
      'import_cache_tree.children[0].packages[0]: "a>=1" is neither a package\'s name nor name==version',
    ],
  ])("is refused with the place of the mistake: %j", (value, message) => {
    let failure: unknown;
    try {
      parseZygoteTree(value);
    } catch (error) {
      failure = error;
    }
    expect(isOlError(failure) && failure.code).toBe("OL_LAMBDA_BAD_ZYGOTE_TREE");
    expect(String(failure)).toContain(message);
  });

  it("is refused if it nests deeper than the engine does", () => {
    let deep: unknown = { packages: ["a"] };
    for (let depth = 0; depth < 30; depth += 1) deep = { packages: ["a"], children: [deep] };
    expect(() => parseZygoteTree({ children: [deep] })).toThrow(/25 deep/u);
  });
});
