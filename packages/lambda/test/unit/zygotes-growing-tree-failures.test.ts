import { describe, expect, it } from "vitest";

import { keeperOf, numpy, pandas } from "../growing-tree.ts";
import { packageSet, pin } from "../zygote-keeper.ts";

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
