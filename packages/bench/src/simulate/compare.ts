import { loadZygoteData } from "../zygotes/data.ts";
import { makeFunctions } from "./functions.ts";
import {
  type ClusterOptions,
  type PolicyUnderTrial,
  simulateCluster,
  type SimulationRun,
} from "./simulate.ts";

/** What is compared, and on how many clusters. */
export interface SimulateOptions extends Omit<ClusterOptions, "functions" | "seed"> {
  readonly seeds: readonly number[];
  /** Functions that are called, and how many share a package set on average. */
  readonly functionCount: number;
  readonly functionsPerSet: number;
  /** Clients for each slot of all workers, where all workers are to be busy. */
  readonly clientsPerSlot: number;
  readonly trials: readonly PolicyUnderTrial[];
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

/** One policy: means over the seeds. */
export interface PolicyRow {
  readonly policy: string;
  /** With as many clients as keep all workers busy. */
  readonly saturated: SimulationRun;
  /** With half as many calls as the best policy answers when all workers are busy, coming whenever they like. */
  readonly half: SimulationRun;
}

export interface SimulateResult {
  readonly options: Omit<SimulateOptions, "progress" | "trials">;
  /** Calls a second that come in `half`. */
  readonly halfPerSec: number;
  readonly rows: readonly PolicyRow[];
}

/** Plays the same calls to every policy. The same options give the same figures on every machine. */
export const comparePolicies = async (options: SimulateOptions): Promise<SimulateResult> => {
  const { trials, seeds, workers, slots, clientsPerSlot, progress } = options;
  const clusters = await clustersOf(options);
  const clients = Math.ceil(clientsPerSlot * workers * slots);
  const saturated: SimulationRun[] = [];
  for (const trial of trials) {
    progress(`${trial.label}, all workers busy`);
    saturated.push(meanOf(await runAll(clusters, trial, { kind: "closed", clients })));
  }
  const halfPerSec = Math.max(...saturated.map(({ perSec }) => perSec)) / 2;
  const rows: PolicyRow[] = [];
  for (const [at, trial] of trials.entries()) {
    progress(`${trial.label}, half of the load`);
    const half = meanOf(await runAll(clusters, trial, { kind: "open", perSec: halfPerSec }));
    rows.push({ policy: trial.label, saturated: saturated[at] as SimulationRun, half });
  }
  const { progress: _, trials: _trials, ...shown } = options;
  return { options: { ...shown, seeds }, halfPerSec, rows };
};

const clustersOf = async (options: SimulateOptions): Promise<readonly ClusterOptions[]> => {
  const {
    seeds,
    functionCount,
    functionsPerSet,
    clientsPerSlot: _clients,
    trials: _,
    progress: _progress,
    ...cluster
  } = options;
  const data = await loadZygoteData();
  return seeds.map((seed) => ({
    ...cluster,
    seed,
    functions: makeFunctions(data, { seed, functions: functionCount, functionsPerSet }),
  }));
};

const runAll = async (
  clusters: readonly ClusterOptions[],
  trial: PolicyUnderTrial,
  callers: Parameters<typeof simulateCluster>[2],
): Promise<readonly SimulationRun[]> => {
  const runs: SimulationRun[] = [];
  // One after the other: each holds all its calls in memory.
  for (const cluster of clusters) runs.push(await simulateCluster(cluster, trial, callers));
  return runs;
};

const meanOf = (runs: readonly SimulationRun[]): SimulationRun => {
  const mean = (field: keyof SimulationRun): number =>
    runs.reduce((sum, run) => sum + run[field], 0) / runs.length;
  return {
    perSec: mean("perSec"),
    coldShare: mean("coldShare"),
    importShare: mean("importShare"),
    p50Ms: mean("p50Ms"),
    p99Ms: mean("p99Ms"),
    refusedShare: mean("refusedShare"),
  };
};
