import { describe, expect, it } from "vitest";

import { type EvictableSandbox, type EvictionSnapshot, makeEvictor } from "../../src/evictor.ts";
import { sandbox, snapshot, zygote } from "../support/eviction.ts";
import { Random } from "../support/random.ts";

type State = EvictableSandbox["state"];

const MIXED: Partial<EvictionSnapshot> = {
  sandboxes: [
    sandbox("running", "running", 0),
    sandbox("idle-old", "idle", 1),
    sandbox("paused-new", "paused", 9),
    sandbox("idle-new", "idle", 5),
    sandbox("paused-old", "paused", 2),
    sandbox("resuming", "resuming", 0),
  ],
  zygotes: [zygote("parent", 0, 1), zygote("leaf-new", 7), zygote("leaf-old", 3)],
};

const ORDER = ["paused-old", "paused-new", "idle-old", "idle-new", "leaf-old", "leaf-new"];

const sum = (list: readonly EvictableSandbox[]): number => list.reduce((mb, each) => mb + each.memoryMb, 0);

describe("the default evictor", () => {
  it.each(ORDER.map((_, at) => at + 1))(
    "takes paused ones first, then idle ones, then childless zygotes, each by age: %i of them",
    (count) => {
      expect(makeEvictor()(snapshot(50 * count, MIXED))).toEqual(ORDER.slice(0, count));
    },
  );

  it("never takes running ones, zygotes with children or called ones that may soon be resumed, however much is missing", () => {
    expect(makeEvictor()(snapshot(10_000, MIXED))).toEqual(ORDER);
  });

  it("takes running ones last where the option says so, those used longest ago first", () => {
    const sandboxes = [
      sandbox("b", "running", 2),
      sandbox("a", "running", 1),
      ...(MIXED.sandboxes ?? []).slice(1),
    ];
    const evict = makeEvictor({ running: true });
    expect(evict(snapshot(50, { sandboxes }))).toEqual(["paused-old"]);
    expect(evict(snapshot(250, { sandboxes }))).toEqual([
      "paused-old",
      "paused-new",
      "idle-old",
      "idle-new",
      "a",
    ]);
  });

  it("takes nothing when nothing is missing", () => {
    expect(makeEvictor({ running: true })(snapshot(0, MIXED))).toEqual([]);
  });

  it("takes of two as old the one that is made again more quickly", () => {
    const sandboxes = [
      sandbox("slow", "idle", 1, { makeMs: 20 }),
      sandbox("quick", "idle", 1, { makeMs: 2 }),
    ];
    expect(makeEvictor()(snapshot(10, { sandboxes }))).toEqual(["quick"]);
  });

  it("spares small ones that a larger one made needless", () => {
    const sandboxes = [
      sandbox("small", "idle", 1, { memoryMb: 10 }),
      sandbox("middle", "idle", 2, { memoryMb: 20 }),
      sandbox("large", "idle", 3, { memoryMb: 100 }),
    ];
    expect(makeEvictor()(snapshot(100, { sandboxes }))).toEqual(["large"]);
    expect(makeEvictor()(snapshot(110, { sandboxes }))).toEqual(["small", "large"]);
  });

  it("ends a wait of paused ones for each other, but not for the one whose turn it is", () => {
    const sandboxes = [sandbox("first", "resuming", 1), sandbox("second", "resuming", 2)];
    const stuck = { sandboxes, firstInLine: "first" };
    expect(makeEvictor()(snapshot(10, stuck))).toEqual(["second"]);
    expect(makeEvictor()(snapshot(10, { ...stuck, making: 1 }))).toEqual([]);
    const running = [...sandboxes, sandbox("running", "running", 0)];
    expect(makeEvictor()(snapshot(10, { ...stuck, sandboxes: running }))).toEqual([]);
  });

  it("frees enough wherever that can be, and nothing that could have stayed", () => {
    const random = Random.fromEnvironment();
    const wrong: string[] = [];
    for (let round = 0; round < 5_000; round += 1) {
      const missingMb = Math.ceil(random.between(0, 400));
      const sandboxes = Array.from({ length: Math.floor(random.between(0, 12)) }, (_, at) =>
        sandbox(
          `s${at}`,
          random.pick<State>(["running", "idle", "paused"]),
          Math.floor(random.between(0, 5)),
          {
            memoryMb: Math.ceil(random.between(0, 100)),
          },
        ),
      );
      const chosen = new Set(makeEvictor()(snapshot(missingMb, { sandboxes })));
      const gone = sandboxes.filter(({ id }) => chosen.has(id));
      const free = sandboxes.filter(({ state }) => state !== "running");
      const enough = sum(gone) >= Math.min(missingMb, sum(free));
      const spare = gone.some(({ memoryMb }) => sum(gone) - memoryMb >= missingMb);
      if (!enough || spare || gone.some(({ state }) => state === "running"))
        wrong.push(JSON.stringify({ missingMb, sandboxes, chosen: [...chosen] }));
    }
    expect(wrong, `seed ${random.seed}`).toEqual([]);
  });
});
