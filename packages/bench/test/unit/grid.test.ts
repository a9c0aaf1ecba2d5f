import { expect, it } from "vitest";

import {
  DEFAULT_COSTS,
  type Dimensions,
  formatGrid,
  pointsOf,
  runGrid,
  type VirtualRun,
  type VirtualRunOptions,
} from "../../src/index.ts";

const DIMENSIONS: Dimensions = {
  workers: [1, 2],
  policy: ["LARD"],
  cores: [2],
  slots: [4],
  memory: [1_000, 2_000],
  eviction: ["default"],
  zygotes: ["off"],
  load: [8],
};

const OPTIONS = {
  seeds: [1, 2],
  lambdasOf: () => [],
  packages: new Map(),
  costs: DEFAULT_COSTS,
  sandboxMb: 50,
  skew: 1,
  kind: "closed",
  burst: 1,
  warmupMs: 1,
  measureMs: 1,
} as const;

it("the points of a grid are all combinations, the last dimension varying first", () => {
  const points = pointsOf(DIMENSIONS);
  expect(points.map(({ workers, memory }) => [workers, memory])).toEqual([
    [1, 1_000],
    [1, 2_000],
    [2, 1_000],
    [2, 2_000],
  ]);
  expect(points[0]).toEqual({
    workers: 1,
    policy: "LARD",
    cores: 2,
    slots: 4,
    memory: 1_000,
    eviction: "default",
    zygotes: "off",
    load: 8,
  });
});

it("each row of a grid has its point's means over the seeds, and the table those settings that differ", async () => {
  const asked: VirtualRunOptions[] = [];
  const rows = await runGrid(DIMENSIONS, OPTIONS, async (runs) => {
    asked.push(...runs);
    return runs.map(({ seed, worker, cluster }): VirtualRun => ({
      perSec: worker.memoryMb + 100 * (cluster?.workers ?? 1) + 2 * seed,
      p50Ms: 0,
      p99Ms: 0,
      p99QueueMs: 0,
      meanQueueMs: 0,
      coldShare: 0,
      importShare: 0,
      refusedShare: 0,
      failedShare: 0,
      failures: {},
      cpuShare: 0,
      created: 0,
      evicted: 0,
    }));
  });
  expect(asked).toHaveLength(8);
  expect(rows.map(({ run }) => run.perSec)).toEqual([1_103, 2_103, 1_203, 2_203]);
  const [head, first] = formatGrid(DIMENSIONS, rows).split("\n");
  expect(head?.trim().split(/ {2,}/u).slice(0, 3)).toEqual(["workers", "memory", "calls/s"]);
  expect(first?.trim().split(/ {2,}/u).slice(0, 3)).toEqual(["1", "1000", "1103"]);
});

it("a grid plays bursts and calls a second, where that is asked for", async () => {
  const asked: VirtualRunOptions[] = [];
  const one = { ...DIMENSIONS, workers: [1], memory: [500], load: [10] };
  await runGrid(one, { ...OPTIONS, kind: "open", burst: 5 }, async (runs) => {
    asked.push(...runs);
    return runs.map(() => ({ failures: {} }) as VirtualRun);
  });
  expect(asked[0]?.calls).toEqual({ kind: "open", perSec: 10, draw: { by: "bursts", skew: 1, size: 5 } });
  expect(asked[0]?.cluster).toBeUndefined();
});
