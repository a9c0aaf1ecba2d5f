import { meanFigures } from "../cluster/outcome.ts";
import type { EvictionPolicyName } from "@ol/sandbox";

import type { CallPattern } from "./call-pattern.ts";
import type { Costs } from "./costs.ts";
import type { PackageCosts, VirtualLambda } from "./lambdas.ts";
import type { VirtualRun, VirtualRunOptions } from "./virtual-run.ts";

/** What may be varied: of each as many values as are to be tried. */
export interface Dimensions {
  readonly workers: readonly number[];
  readonly policy: readonly string[];
  readonly cores: readonly number[];
  readonly slots: readonly number[];
  readonly memory: readonly number[];
  readonly eviction: readonly EvictionPolicyName[];
  readonly zygotes: readonly ("off" | "auto")[];
  readonly load: readonly number[];
}

/** One value of each. */
export type Point = { readonly [Name in keyof Dimensions]: Dimensions[Name][number] };

/** What is the same for all points. */
export interface GridOptions {
  readonly seeds: readonly number[];
  /** The lambdas of a seed, the most popular first. */
  readonly lambdasOf: (seed: number) => readonly VirtualLambda[];
  readonly packages: PackageCosts;
  readonly costs: Costs;
  readonly sandboxMb: number;
  readonly skew: number;
  /** `closed`: a point's load is how many clients there are. `open`: calls a second; with `burst` they come so many at once. */
  readonly kind: "closed" | "open";
  readonly burst: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** One point: means over the seeds. */
export interface GridRow {
  readonly point: Point;
  readonly run: VirtualRun;
}

/** Every combination, the last dimension varying first. */
export const pointsOf = (dimensions: Dimensions): readonly Point[] => {
  let points: Partial<Point>[] = [{}];
  for (const [name, values] of Object.entries(dimensions))
    points = points.flatMap((point) =>
      (values as readonly unknown[]).map((value) => ({ ...point, [name]: value })),
    );
  return points as readonly Point[];
};

const callsOf = ({ kind, skew, burst }: GridOptions, load: number): CallPattern => {
  const draw =
    burst > 1 ? ({ by: "bursts", skew, size: burst } as const) : ({ by: "popularity", skew } as const);
  return kind === "closed" ? { kind, clients: load, draw } : { kind, perSec: load, draw };
};

const runOf = (options: GridOptions, point: Point, seed: number): VirtualRunOptions => {
  const { packages, costs, sandboxMb, warmupMs, measureMs } = options;
  const { workers, policy, cores, slots, memory: memoryMb, eviction, zygotes, load } = point;
  return {
    seed,
    cores,
    costs,
    lambdas: options.lambdasOf(seed),
    packages,
    worker: { slots, memoryMb, sandboxMb, eviction, zygotes },
    ...(workers > 1 && { cluster: { workers, policy } }),
    calls: callsOf(options, load),
    warmupMs,
    measureMs,
  };
};

const meanOf = (runs: readonly VirtualRun[]): VirtualRun => {
  const mean = (field: "cpuShare" | "created" | "evicted"): number =>
    runs.reduce((sum, run) => sum + run[field], 0) / runs.length;
  return {
    ...meanFigures(runs),
    cpuShare: mean("cpuShare"),
    created: mean("created"),
    evicted: mean("evicted"),
  };
};

/** Plays each point with each seed, by `simulate`, which gets all runs at once. */
export const runGrid = async (
  dimensions: Dimensions,
  options: GridOptions,
  simulate: (runs: readonly VirtualRunOptions[]) => Promise<readonly VirtualRun[]>,
): Promise<readonly GridRow[]> => {
  const { seeds } = options;
  const points = pointsOf(dimensions);
  const runs = await simulate(points.flatMap((point) => seeds.map((seed) => runOf(options, point, seed))));
  return points.map((point, at) => ({
    point,
    run: meanOf(runs.slice(at * seeds.length, (at + 1) * seeds.length)),
  }));
};
