import { expect, it } from "vitest";

import { stepsOf } from "../../src/index.ts";

const ends = (...list: (readonly [string, number])[]) =>
  list.map(([step, ms]) => ({ step, atNs: BigInt(ms * 1e6) }));

const REPORT = {
  broker: ends(["asked", 11], ["leaf", 13], ["place", 14]),
  leaf: ends(["asked", 12], ["fork", 15], ["assignment", 17], ["attach", 20], ["code", 26]),
};

it("a start's steps are what lay between the ends, in both processes, and the ways there and back", () => {
  expect(stepsOf(REPORT, 10n * 1_000_000n, 30n * 1_000_000n, true)).toEqual([
    ["to the broker", 1],
    ["broker: leaf", 2],
    ["broker: place", 1],
    ["to the zygote", 1],
    ["leaf: fork", 3],
    ["leaf: assignment", 2],
    ["leaf: attach", 3],
    ["leaf: code", 6],
    ["from the leaf", 4],
  ]);
});

it("a start of a process that waited has no steps from before it was wanted", () => {
  expect(stepsOf(REPORT, 10n * 1_000_000n, 30n * 1_000_000n, false).map(([name]) => name)).toEqual([
    "to the broker",
    "broker: leaf",
    "broker: place",
    "leaf: attach",
    "leaf: code",
    "from the leaf",
  ]);
});

it("a report without steps says nothing", () => {
  expect(stepsOf({ broker: [], leaf: [] }, 0n, 1n, true)).toEqual([]);
});
