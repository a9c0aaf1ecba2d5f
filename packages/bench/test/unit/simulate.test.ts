import { describe, expect, it } from "vitest";

import {
  type ClusterOptions,
  comparePolicies,
  formatSimulation,
  loadZygoteData,
  makeFunctions,
  Popularity,
  type PolicyUnderTrial,
  simulateCluster,
  trialsFor,
} from "../../src/index.ts";
import { ZygoteSet } from "../../src/simulate/zygote-set.ts";
import { Random } from "../../src/zygotes/random.ts";

const data = await loadZygoteData();

const SMALL: ClusterOptions = {
  seed: 1,
  workers: 6,
  slots: 4,
  sandboxes: 16,
  zygotes: 2,
  balancers: 1,
  functions: makeFunctions(data, { seed: 1, functions: 300, functionsPerSet: 4 }),
  skew: 1,
  runMs: 20,
  warmupMs: 3_000,
  measureMs: 3_000,
};

const LARD: PolicyUnderTrial = { label: "LARD", policy: "LARD", by: "packages" };
const ROUND: PolicyUnderTrial = { label: "RoundRobin", policy: "RoundRobin", by: "packages" };
const CLIENTS = { kind: "closed", clients: 96 } as const;

describe("the simulated cluster", () => {
  it("gives the same figures for the same seed, and others for another", async () => {
    const one = await simulateCluster(SMALL, LARD, CLIENTS);
    expect(await simulateCluster(SMALL, LARD, CLIENTS)).toEqual(one);
    expect(await simulateCluster({ ...SMALL, seed: 2 }, LARD, CLIENTS)).not.toEqual(one);
  });

  it("shows what locality is worth: LARD answers half as many calls again as round robin, with half the cold starts", async () => {
    const lard = await simulateCluster(SMALL, LARD, CLIENTS);
    const round = await simulateCluster(SMALL, ROUND, CLIENTS);
    expect(lard.perSec).toBeGreaterThan(1.5 * round.perSec);
    expect(lard.importShare).toBeLessThan(0.6 * round.importShare);
  });

  it("shows where it is worth nothing: few functions, and memory for all of them", async () => {
    const all = {
      ...SMALL,
      sandboxes: 100,
      functions: makeFunctions(data, { seed: 1, functions: 10, functionsPerSet: 1 }),
    };
    const lard = await simulateCluster(all, LARD, CLIENTS);
    const round = await simulateCluster(all, ROUND, CLIENTS);
    expect(lard.perSec).toBeLessThan(1.1 * round.perSec);
    expect(round.importShare).toBeLessThan(0.02);
  });

  it("keeps most of it with several balancers that know nothing of each other", async () => {
    const one = await simulateCluster(SMALL, LARD, CLIENTS);
    const four = await simulateCluster({ ...SMALL, balancers: 4 }, LARD, CLIENTS);
    expect(four.perSec).toBeGreaterThan(0.8 * one.perSec);
  });

  it("answers every call that comes, if there is room for all", async () => {
    const run = await simulateCluster(SMALL, LARD, { kind: "open", perSec: 100 });
    expect(run.refusedShare).toBe(0);
    expect(run.perSec).toBeGreaterThan(80);
    expect(run.perSec).toBeLessThan(120);
    expect(run.p50Ms).toBeLessThan(100);
  });
});

describe("the comparison of policies", () => {
  it("has a row for each, in whatever order they are best", async () => {
    const { functions: _, seed: _seed, ...cluster } = SMALL;
    const trials = trialsFor(4);
    const result = await comparePolicies({
      ...cluster,
      warmupMs: 500,
      measureMs: 500,
      seeds: [1, 2],
      functionCount: 50,
      functionsPerSet: 2,
      clientsPerSlot: 4,
      trials,
      progress: () => undefined,
    });
    expect(result.rows.map(({ policy }) => policy)).toEqual(trials.map(({ label }) => label));
    const best = Math.max(...result.rows.map(({ saturated }) => saturated.perSec));
    expect(result.halfPerSec).toBe(best / 2);
    const table = formatSimulation(result).split("\n");
    expect(table.filter((line) => trials.some(({ label }) => line.startsWith(label)))).toHaveLength(8);
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });
});

describe("simulated zygotes", () => {
  it("are made once they would have spared twice their cost, and give way to what spares half as much again", () => {
    const zygotes = new ZygoteSet(1);
    const start = (key: string, ms: number, times: number): readonly string[] => {
      for (let time = 0; time < times; time += 1) zygotes.started(key, ms, time);
      return zygotes.keys;
    };
    expect(start("a", 100, 1)).toEqual([]);
    expect(start("a", 100, 2)).toEqual(["a"]);
    // 420 beside 300, then 560.
    expect(start("b", 140, 3)).toEqual(["a"]);
    expect(start("b", 140, 1)).toEqual(["b"]);
    expect(new ZygoteSet(0).keys).toEqual([]);
  });
});

describe("the popularity of functions", () => {
  it("falls with the rank", () => {
    const popularity = new Popularity(100, 1, new Random(1));
    const counts = Array.from({ length: 100 }, () => 0);
    for (let draws = 0; draws < 50_000; draws += 1) {
      const rank = popularity.draw();
      counts[rank] = (counts[rank] ?? 0) + 1;
    }
    // 1 / 5.19 and a tenth of that.
    expect((counts[0] ?? 0) / 50_000).toBeCloseTo(0.193, 1);
    expect((counts[9] ?? 0) / (counts[0] ?? 1)).toBeCloseTo(0.1, 1);
    expect(counts.every((count) => count > 0)).toBe(true);
  });
});
