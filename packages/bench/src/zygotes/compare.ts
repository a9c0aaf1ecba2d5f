import {
  type FitRecord,
  fitTree,
  GrowingTree,
  NoZygotes,
  type PackageSet,
  parseZygoteTree,
  StaticTree,
} from "@ol/lambda";

import { summarize } from "../statistics.ts";
import { loadZygoteData, nameOf, type ZygoteData } from "./data.ts";
import { FORK_MS, simulate, type SimulationResult, UNFIT } from "./simulate.ts";
import { DEFAULT_WORKLOAD, generateWorkload, withBareRoot, type Workload } from "./workload.ts";

export interface CompareOptions {
  readonly seeds: readonly number[];
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

/** How one policy did on one workload. */
export interface PolicyRun extends SimulationResult {
  readonly policy: string;
  /** How much longer its mean start took than with the fitted tree all there from the beginning, in percent. */
  readonly regretPercent: number;
}

export interface WorkloadRun {
  readonly seed: number;
  readonly starts: number;
  readonly budgetMb: number;
  /** The mean start with the fitted tree, all of it there from the beginning, in ms. */
  readonly fittedMs: number;
  readonly runs: readonly PolicyRun[];
}

/** One policy over all workloads. */
export interface PolicySummary {
  readonly policy: string;
  readonly regretPercent: { readonly median: number; readonly mean: number; readonly max: number };
  /** Means over the workloads. */
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly builds: number;
  readonly buildSec: number;
}

export interface Comparison {
  readonly workloads: readonly WorkloadRun[];
  readonly policies: readonly PolicySummary[];
}

/** What a trace of this workload would have recorded, had every sandbox been forked from the root. */
const traceOf = ({ arrivals, costs }: Workload): FitRecord[] => {
  const records = new Map<PackageSet, FitRecord>();
  return arrivals.map(({ set }) => {
    const known = records.get(set);
    if (known !== undefined) return known;
    const own = new Map(set.pins.map((pin) => [pin, costs.get(pin) ?? { ms: 0, mb: 0 }]));
    const record = { set, costs: own };
    records.set(set, record);
    return record;
  });
};

const compareOn = (data: ZygoteData, seed: number): WorkloadRun => {
  const workload = generateWorkload(data, { ...DEFAULT_WORKLOAD, seed });
  const { budgetMb } = workload;
  const excluded = [...workload.costs.keys()].filter((pin) => UNFIT.includes(nameOf(pin)));
  const fitted = fitTree(traceOf(workload), { memoryMb: budgetMb, excluded });
  const fittedMs = FORK_MS + fitted.withMs;
  const staticTree = (tree: unknown): StaticTree => new StaticTree({ plan: parseZygoteTree(tree), budgetMb });
  const results: [string, SimulationResult][] = [
    ["off, without the standard library", simulate(withBareRoot(workload), new NoZygotes())],
    ["off", simulate(workload, new NoZygotes())],
    ["tree: the original's default", simulate(workload, staticTree(data.defaultTree))],
    ["tree: fitted to this trace", simulate(workload, staticTree(fitted.tree))],
    ["auto", simulate(workload, new GrowingTree({ budgetMb }))],
  ];
  const runs = results.map(([policy, result]) => ({
    policy,
    ...result,
    regretPercent: (result.meanMs / fittedMs - 1) * 100,
  }));
  return { seed, starts: workload.arrivals.length, budgetMb, fittedMs, runs };
};

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const summarizePolicy = (policy: string, runs: readonly PolicyRun[]): PolicySummary => {
  const regrets = runs.map(({ regretPercent }) => regretPercent);
  return {
    policy,
    regretPercent: { median: summarize(regrets).median, mean: meanOf(regrets), max: Math.max(...regrets) },
    meanMs: meanOf(runs.map(({ meanMs }) => meanMs)),
    p50Ms: meanOf(runs.map(({ p50Ms }) => p50Ms)),
    p99Ms: meanOf(runs.map(({ p99Ms }) => p99Ms)),
    builds: meanOf(runs.map(({ builds }) => builds)),
    buildSec: meanOf(runs.map(({ buildSec }) => buildSec)),
  };
};

/** Plays the mixed workload, once for each seed, to every policy. The same seeds give the same figures on every machine. */
export const compareZygotePolicies = async ({ seeds, progress }: CompareOptions): Promise<Comparison> => {
  const data = await loadZygoteData();
  const workloads: WorkloadRun[] = [];
  for (const seed of seeds) {
    progress(`workload ${seed}`);
    workloads.push(compareOn(data, seed));
  }
  const names = workloads[0]?.runs.map(({ policy }) => policy) ?? [];
  const policies = names.map((name) =>
    summarizePolicy(
      name,
      workloads.flatMap(({ runs }) => runs.filter(({ policy }) => policy === name)),
    ),
  );
  return { workloads, policies };
};
