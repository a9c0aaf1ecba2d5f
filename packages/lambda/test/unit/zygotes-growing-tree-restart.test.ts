import { describe, expect, it } from "vitest";

import { GrowingTree } from "../../src/index.ts";
import { flask, keeperOf, numpy, pandas } from "../growing-tree.ts";
import { packageSet, pin, ZygoteKeeper } from "../zygote-keeper.ts";

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

/** Builds what is wished, until nothing is. */
const buildAll = (keeper: ZygoteKeeper): void => {
  for (keeper.next(); keeper.building !== undefined;) keeper.finish();
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
      buildAll(keeper);
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
