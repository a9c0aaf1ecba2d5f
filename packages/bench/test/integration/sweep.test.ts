import { expect, it } from "vitest";

import { DEFAULT_COSTS, simulateWorkers, sweep, type VirtualRunOptions } from "../../src/index.ts";

const runs = [1, 2, 3, 4, 5].map((seed): VirtualRunOptions => ({
  seed,
  cores: 1 + (seed % 2),
  costs: DEFAULT_COSTS,
  lambdas: ["a", "b", "c"].map((name) => ({
    name,
    waitMs: 5,
    cpuMs: 1,
    spread: "exponential",
    loadMs: 3,
    pins: [],
  })),
  packages: new Map(),
  worker: { slots: 2, memoryMb: 110, sandboxMb: 50 },
  calls: { kind: "closed", clients: 5, draw: { by: "popularity", skew: 1 } },
  warmupMs: 200,
  measureMs: 1_000,
}));

it("a sweep over threads gives what one run after the other gives, in the same order", async () => {
  const serial = [];
  for (const run of runs) serial.push(await simulateWorkers(run));
  expect(new Set(serial.map(({ p99Ms }) => p99Ms)).size).toBe(runs.length);
  const over: number[] = [];
  expect(await sweep(runs, 3, (at) => over.push(at))).toEqual(serial);
  expect(over.toSorted((one, other) => one - other)).toEqual([0, 1, 2, 3, 4]);
  expect(await sweep(runs, 1)).toEqual(serial);
  expect(await sweep([], 4)).toEqual([]);
});

it("a sweep ends with what is wrong with one of its runs", async () => {
  const [run] = runs as [VirtualRunOptions];
  const worker = { ...run.worker, memoryMb: -1 };
  await expect(sweep([run, { ...run, worker }, run], 2)).rejects.toMatchObject({
    code: "OL_BENCH_SIMULATION_FAILED",
    message: expect.stringContaining("memoryMb"),
  });
});
