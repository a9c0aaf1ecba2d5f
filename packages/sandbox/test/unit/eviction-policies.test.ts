import { describe, expect, it } from "vitest";

import { EVICTION_POLICIES, type EvictionPolicyName } from "../../src/index.ts";
import type { EvictableSandbox, EvictableZygote, EvictionSnapshot } from "../../src/evictor.ts";
import { type TracedLambda, playTrace, sandbox, snapshot, zygote } from "../support/eviction.ts";
import { Random } from "../support/random.ts";

const NAMES = Object.keys(EVICTION_POLICIES) as EvictionPolicyName[];
const STATES = ["running", "idle", "paused", "resuming"] as const;

type Member = EvictableSandbox | EvictableZygote;

const someSandbox = (random: Random, id: string): EvictableSandbox =>
  sandbox(id, random.pick(STATES), Math.floor(random.between(0, 5)), {
    name: random.pick(["a", "b", "c"]),
    uses: Math.floor(random.between(0, 9)),
    memoryMb: Math.ceil(random.between(0, 100)),
    makeMs: random.between(0, 500),
  });

const someZygote = (random: Random, id: string): EvictableZygote =>
  zygote(id, Math.floor(random.between(0, 5)), random.pick([0, 0, 1, 2]), {
    uses: Math.floor(random.between(0, 9)),
    memoryMb: Math.ceil(random.between(0, 100)),
    makeMs: random.between(0, 500),
  });

const someSnapshot = (random: Random): EvictionSnapshot => {
  const many = <Value>(make: (random: Random, id: string) => Value, prefix: string): Value[] =>
    Array.from({ length: Math.floor(random.between(0, 8)) }, (_, at) => make(random, `${prefix}${at}`));
  const sandboxes = many(someSandbox, "s");
  const resuming = sandboxes.filter(({ state }) => state === "resuming");
  return snapshot(Math.ceil(random.between(-50, 400)), {
    trial: random.next() < 0.3,
    making: random.pick([0, 0, 1]),
    firstInLine: resuming.length > 0 && random.next() < 0.7 ? random.pick(resuming).id : undefined,
    sandboxes,
    zygotes: many(someZygote, "z"),
  });
};

const sum = (list: readonly Member[]): number => list.reduce((mb, each) => mb + each.memoryMb, 0);

/** What each policy may name: what nobody needs, then who waits in vain, then what runs. */
const tiersOf = (shown: EvictionSnapshot, running: boolean): readonly (readonly Member[])[] => {
  const inState = (state: EvictableSandbox["state"]): readonly Member[] =>
    shown.sandboxes.filter((each) => each.state === state);
  const nobodyRuns = shown.making === 0 && inState("running").length === 0;
  return [
    [...inState("paused"), ...inState("idle"), ...shown.zygotes.filter(({ children }) => children === 0)],
    nobodyRuns ? inState("resuming").filter(({ id }) => id !== shown.firstInLine) : [],
    running ? inState("running") : [],
  ];
};

/** What is wrong with a choice; undefined if nothing is. */
const faultOf = (shown: EvictionSnapshot, ids: readonly string[], running: boolean): string | undefined => {
  const tiers = tiersOf(shown, running);
  const allowed = tiers.flat();
  const gone = ids.map((id) => allowed.find((each) => each.id === id));
  if (gone.includes(undefined)) return "names what is not there, or may not go";
  if (new Set(ids).size < ids.length) return "names something twice";
  const chosen = gone as Member[];
  if (sum(chosen) < Math.min(shown.missingMb, sum(allowed))) return "does not free enough";
  if (chosen.some(({ memoryMb }) => sum(chosen) - memoryMb >= shown.missingMb)) return "takes too much";
  for (const [at, tier] of tiers.entries()) {
    const before = tiers.slice(0, at).flat();
    if (tier.some(({ id }) => ids.includes(id)) && sum(before) >= shown.missingMb)
      return `takes of kind ${at} while the kinds before it are enough`;
  }
  return undefined;
};

describe.each(NAMES)("the eviction policy %s", (name) => {
  it.each([false, true])(
    "names only what is there and may go, frees enough and nothing needlessly, and takes what runs last (running: %s)",
    (running) => {
      const random = Random.fromEnvironment();
      const wrong: string[] = [];
      for (let world = 0; world < 300; world += 1) {
        const evictor = EVICTION_POLICIES[name]({ running });
        for (let round = 0; round < 10; round += 1) {
          const shown = someSnapshot(random);
          const ids = evictor(shown);
          const fault = faultOf(shown, ids, running);
          if (fault !== undefined) wrong.push(JSON.stringify({ fault, ids, shown }));
        }
      }
      expect(wrong.slice(0, 3), `seed ${random.seed}`).toEqual([]);
    },
  );

  it("gives the same answers to the same snapshots, and trials in between change none", () => {
    const random = Random.fromEnvironment();
    for (let world = 0; world < 100; world += 1) {
      const shown = Array.from({ length: 10 }, () => ({ ...someSnapshot(random), trial: false }));
      const [one, other] = [EVICTION_POLICIES[name](), EVICTION_POLICIES[name]()];
      const answers = shown.map((each) => one(each));
      const again = shown.map((each) => {
        other({ ...each, trial: true });
        return other(each);
      });
      expect(again, `seed ${random.seed}`).toEqual(answers);
    }
  });
});

describe("the eviction policy lru", () => {
  it("goes by the last use alone, of sandboxes and of childless zygotes", () => {
    const mixed = {
      sandboxes: [sandbox("s3", "paused", 3), sandbox("s1", "idle", 1), sandbox("s4", "idle", 4)],
      zygotes: [zygote("z2", 2), zygote("parent", 0, 1)],
    };
    expect(EVICTION_POLICIES.lru()(snapshot(200, mixed))).toEqual(["s1", "z2", "s3", "s4"]);
  });
});

describe("the eviction policy priority", () => {
  it("takes paused sandboxes, then childless zygotes, then idle sandboxes, and running ones last where allowed", () => {
    const mixed = {
      sandboxes: [
        sandbox("running", "running", 0),
        sandbox("idle", "idle", 1),
        sandbox("paused-new", "paused", 9),
        sandbox("paused-old", "paused", 8),
      ],
      zygotes: [zygote("childless", 5), zygote("parent", 0, 1)],
    };
    const order = ["paused-old", "paused-new", "childless", "idle"];
    expect(EVICTION_POLICIES.priority()(snapshot(1_000, mixed))).toEqual(order);
    expect(EVICTION_POLICIES.priority({ running: true })(snapshot(1_000, mixed))).toEqual([
      ...order,
      "running",
    ]);
  });
});

const lambdas = (count: number, prefix: string, makeMs: number, memoryMb: number): TracedLambda[] =>
  Array.from({ length: count }, (_, at) => ({ name: `${prefix}${at}`, makeMs, memoryMb }));

describe("the eviction policy greedyDual", () => {
  const { greedyDual } = EVICTION_POLICIES;

  it("takes first what is made quickly, is large, or is seldom used", () => {
    const sandboxes = [
      sandbox("dear", "idle", 1, { makeMs: 500, uses: 1 }),
      sandbox("quick", "idle", 9, { makeMs: 5, uses: 1 }),
      sandbox("large", "idle", 9, { makeMs: 500, uses: 1, memoryMb: 500 }),
      sandbox("liked", "idle", 1, { makeMs: 50, uses: 30 }),
    ];
    expect(greedyDual()(snapshot(10_000, { sandboxes }))).toEqual(["quick", "large", "dear", "liked"]);
  });

  it("adds up the calls of all sandboxes of a lambda, also of one that is gone by now", () => {
    const one = sandbox("one", "idle", 1, { name: "liked", uses: 9 });
    const two = sandbox("two", "idle", 1, { name: "liked", uses: 1 });
    const other = sandbox("other", "idle", 2, { uses: 5 });
    const evictor = greedyDual();
    evictor(snapshot(1, { trial: true, sandboxes: [one, two, other] }));
    expect(evictor(snapshot(1, { sandboxes: [two, other] }))).toEqual(["other"]);
    expect(greedyDual()(snapshot(1, { sandboxes: [two, other] }))).toEqual(["two"]);
  });

  it("lets what was worth much go in time, if it is used no more", () => {
    const dear = sandbox("dear", "idle", 0, { makeMs: 500, uses: 1 });
    const evictor = greedyDual();
    const evicted: string[] = [];
    for (let at = 1; at <= 20 && !evicted.includes("dear"); at += 1) {
      const cheap = sandbox(`cheap-${at}`, "idle", at, { makeMs: 50, uses: 1 });
      evicted.push(...evictor(snapshot(50, { sandboxes: [dear, cheap] })));
    }
    // Each one that goes lifts the clock by 1; the dear one is worth 10.
    expect(evicted.indexOf("dear")).toBeGreaterThanOrEqual(9);
    expect(evicted.indexOf("dear")).toBeLessThanOrEqual(10);
  });

  it("costs a mixed load less waiting for cold starts than lru", () => {
    // As in FaasCache's argument: some small lambdas that import for long are called now and then, among many large ones
    // that start quickly and are called seldom.
    const random = new Random(1);
    const [dear, cheap] = [lambdas(10, "dear", 2_000, 50), lambdas(60, "cheap", 100, 200)];
    const trace = Array.from({ length: 5_000 }, () => random.pick(random.next() < 0.3 ? dear : cheap));
    const [lru, greedy] = [EVICTION_POLICIES.lru(), greedyDual()].map((evictor) =>
      playTrace(trace, 2_000, evictor),
    );
    expect(lru?.coldStarts).toBeGreaterThan(1_000);
    expect(greedy?.coldMs).toBeLessThan((lru?.coldMs ?? 0) / 2);
  });
});
