import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { GrowingTree, parseZygoteTree, StaticTree, type ZygotePolicy } from "../../src/index.ts";
import { happenings, packageSets, ZygoteWorld } from "../zygote-world.ts";

const BUDGET_MB = 60;
const RUNS = 300;

const plan = parseZygoteTree({
  children: [
    { packages: ["p0"], children: [{ packages: ["p1"] }, { packages: ["p2", "p3"] }] },
    { packages: ["p4"], children: [{ packages: ["p5"], children: [{ packages: ["p6"] }] }] },
    { packages: ["p7==1"] },
    { packages: ["p8==2"] },
  ],
});

const policies: [string, () => ZygotePolicy][] = [
  ["the growing tree", () => new GrowingTree({ budgetMb: BUDGET_MB })],
  ["the tree of a plan", () => new StaticTree({ plan, budgetMb: BUDGET_MB })],
];

describe.each(policies)("%s, whatever happens", (_name, make) => {
  it("forks from no undeclared pin, builds one at a time on what is there, and stays within its memory", () => {
    let hits = 0;
    fc.assert(
      fc.property(packageSets, happenings, (sets, events) => {
        hits += new ZygoteWorld(make, BUDGET_MB, sets).run(events).hits;
      }),
      { numRuns: RUNS },
    );
    // Else this showed nothing.
    expect(hits).toBeGreaterThan(2 * RUNS);
  });

  it("decides the same when the same happens again", () => {
    fc.assert(
      fc.property(packageSets, happenings, (sets, events) => {
        const [one, other] = [1, 2].map(() => new ZygoteWorld(make, BUDGET_MB, sets).run(events));
        expect(other?.history).toEqual(one?.history);
      }),
      { numRuns: RUNS / 3 },
    );
  });
});
