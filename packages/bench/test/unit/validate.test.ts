import { describe, expect, it } from "vitest";

import {
  beyond,
  compareFigures,
  DEFAULT_COSTS,
  type Figures,
  fitCosts,
  fitEfficiency,
  formatValidation,
  type TracedCall,
  type ValidateResults,
} from "../../src/index.ts";

const FIGURES: Figures = {
  perSec: 100,
  p50Ms: 1,
  p99Ms: 2,
  p99QueueMs: 50,
  meanQueueMs: 3,
  coldShare: 0.1,
  importShare: 0,
  refusedShare: 0,
  failedShare: 0,
  failures: {},
};

const traced = (more: Partial<TracedCall>): TracedCall => ({
  lambda: "f",
  cold: false,
  memoryMs: 0,
  forkMs: 0,
  importMs: 0,
  runMs: 0,
  costs: new Map(),
  ...more,
});

const known = {
  costs: new Map(
    ["a", "b"].map((name) => [
      name,
      { ms: 10, mb: 2, bareMs: 0, bareMb: 0, top: [name], requires: [] as string[] },
    ]),
  ),
};

const perSecWith = async (efficiency: number): Promise<number> => 10 * (1 + efficiency);

describe("the parameters of the simulator", () => {
  const cold = [
    traced({
      cold: true,
      forkMs: 4,
      importMs: 37,
      runMs: 23,
      costs: new Map([["a==1+0", { ms: 28, mb: 4 }]]),
    }),
    traced({
      cold: true,
      forkMs: 6,
      importMs: 41,
      runMs: 23,
      memoryMs: 12,
      costs: new Map([["a==1+0", { ms: 32, mb: 6 }]]),
    }),
  ];
  const warm = [traced({ runMs: 1 }), traced({ runMs: 3 })];
  const observed = { cold, warm, waitMs: 20, clientMs: 0.2, workerMs: 0.3, treeMs: undefined, heldMb: 25 };

  it("are what calls one after the other took, step by step", () => {
    const { costs } = fitCosts(observed, known);
    expect(costs).toMatchObject({ clientMs: 0.2, workerMs: 0.3, guestMs: 2, forkMs: 5, importFactor: 1 });
    // Of 39 ms on average 30 are the package's.
    expect(costs.loadMs).toBeCloseTo(9, 9);
    expect(costs.lateMs).toBeCloseTo(1, 9);
    expect(costs.guestMb).toBeCloseTo(20, 9);
    // Only who had to wait for memory tells what ending a sandbox takes.
    expect(costs.destroyMs + 5 * costs.destroyMsPerMb).toBeCloseTo(12, 9);
  });

  it("have what nobody waited for from the CPU time of all processes", () => {
    const known58 = 0.3 + 2 + 5 + 9 + 30 + 12;
    expect(fitCosts({ ...observed, treeMs: known58 + 7 }, known).costs.restockMs).toBeCloseTo(7, 9);
    expect(fitCosts({ ...observed, treeMs: 1 }, known).costs.restockMs).toBe(0);
    expect(fitCosts(observed, known).costs.restockMs).toBe(DEFAULT_COSTS.restockMs);
  });

  it("have packages that were imported as they were, others as much slower as those", () => {
    const { packages, importRatio } = fitCosts(observed, known);
    expect(importRatio).toBe(3);
    expect(packages.get("a")).toMatchObject({ ms: 30, mb: 5, top: ["a"] });
    expect(packages.get("b")).toMatchObject({ ms: 30, mb: 2 });
  });

  it("have the cores' efficiency with which as much is done as in reality", async () => {
    expect(await fitEfficiency(17, perSecWith)).toBeCloseTo(0.7, 1);
    expect(await fitEfficiency(10.01, perSecWith)).toBeLessThan(0.02);
    expect(await fitEfficiency(30, perSecWith)).toBe(1);
  });
});

describe("the comparison with reality", () => {
  it("is by how much of the real figure they differ", () => {
    const simulated = { ...FIGURES, perSec: 110, coldShare: 0.08, p99QueueMs: 50 };
    const differences = compareFigures(FIGURES, simulated).map(({ difference }) => difference);
    expect(differences[0]).toBeCloseTo(0.1, 9);
    expect(differences[1]).toBeCloseTo(0.2, 9);
    expect(differences[2]).toBe(0);
  });

  it("sees nothing in what cannot be told apart, and everything in what was not there", () => {
    const none = { ...FIGURES, coldShare: 0, p99QueueMs: 0 };
    const differences = (simulated: Figures): number[] =>
      compareFigures(none, simulated).map(({ difference }) => difference);
    expect(differences({ ...none, coldShare: 0.001, p99QueueMs: 1.5 })).toEqual([0, 0, 0]);
    expect(differences({ ...none, coldShare: 0.01 })).toEqual([0, Number.POSITIVE_INFINITY, 0]);
  });

  it("names what is beyond the tolerance, also what has no figure, but nothing that was fitted", () => {
    const workload = (label: string, simulated: Figures): ValidateResults["workloads"][number] => ({
      label,
      real: FIGURES,
      simulated: { ...simulated, cpuShare: 0, created: 0, evicted: 0 },
      comparisons: compareFigures(FIGURES, simulated),
    });
    const results: ValidateResults = {
      machine: {},
      options: {
        seed: 1,
        slots: 1,
        sandboxMb: 1,
        cores: 1,
        runMs: 1,
        measureMs: 1_000,
        directory: "",
        lambdas: 2,
      },
      costs: DEFAULT_COSTS,
      importRatio: 1,
      workloads: [
        workload("fitted", { ...FIGURES, perSec: 1 }),
        workload("one", { ...FIGURES, perSec: 114, p99QueueMs: Number.NaN }),
        workload("two", { ...FIGURES, coldShare: 0.2 }),
      ],
      notes: [],
    };
    expect(beyond(results, 0.15)).toEqual(["one, p99 of the queue, ms: -", "two, cold share: 100 %"]);
    expect(beyond(results, 2)).toEqual(["one, p99 of the queue, ms: -"]);
    expect(formatValidation(results, 0.15)).toMatch(
      /^two .*\n +cold share +0\.100 +0\.200 +100 % +BEYOND$/mu,
    );
  });
});
