import { packageKey } from "@ol/common";
import { LEAST_NODE_MB } from "@ol/lambda";

import type { MixedLambda } from "../mixed/workload.ts";
import type { SimulatedFunction } from "../simulate/functions.ts";
import { type SimulationRun, simulateCluster } from "../simulate/simulate.ts";
import { nameOf, type ZygoteData } from "../zygotes/data.ts";
import type { WorkerMemory } from "./memory.ts";

/** What is played in virtual time: the same as to the real cluster. */
export interface SimulatedCluster {
  readonly lambdas: readonly MixedLambda[];
  readonly seed: number;
  readonly workers: number;
  readonly slots: number;
  /** Of each worker. */
  readonly memory: WorkerMemory;
  readonly skew: number;
  readonly runMs: number;
  readonly clients: number;
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** One policy in virtual time. */
export interface SimulatedFigures {
  readonly saturated: SimulationRun;
  readonly half: SimulationRun;
}

/** The lambdas, in the order of their popularity, with what importing their packages was measured to take. */
export const simulatedFunctions = (
  lambdas: readonly MixedLambda[],
  { costs }: ZygoteData,
): readonly SimulatedFunction[] =>
  lambdas.map(({ name, pins }) => ({
    name,
    key: packageKey(pins.map(nameOf)) ?? "",
    importMs: pins.reduce((sum, pin) => sum + (costs.get(nameOf(pin))?.ms ?? 0), 0),
  }));

/** How many package sets a worker's zygotes hold, if each had one of its own. */
const zygotesIn = (zygotesMb: number, lambdas: readonly MixedLambda[], { costs }: ZygoteData): number => {
  let allMb = 0;
  for (const { pins } of lambdas)
    allMb += pins.reduce((mb, pin) => mb + (costs.get(nameOf(pin))?.mb ?? 0), LEAST_NODE_MB);
  return Math.floor((zygotesMb * lambdas.length) / allMb);
};

/** Plays the workload to each policy in virtual time: all workers busy, and with half of what the best answers then. */
export const simulatePolicies = async (
  policies: readonly string[],
  data: ZygoteData,
  { lambdas, memory, clients, ...cluster }: SimulatedCluster,
): Promise<readonly SimulatedFigures[]> => {
  const options = {
    ...cluster,
    balancers: 1,
    functions: simulatedFunctions(lambdas, data),
    sandboxes: memory.sandboxes,
    zygotes: zygotesIn(memory.zygotesMb, lambdas, data),
  };
  const trials = policies.map((policy) => ({ label: policy, policy, by: "packages" as const }));
  const saturated: SimulationRun[] = [];
  for (const trial of trials)
    saturated.push(await simulateCluster(options, trial, { kind: "closed", clients }));
  const perSec = Math.max(...saturated.map((run) => run.perSec)) / 2;
  const figures: SimulatedFigures[] = [];
  for (const [at, trial] of trials.entries())
    figures.push({
      saturated: saturated[at] as SimulationRun,
      half: await simulateCluster(options, trial, { kind: "open", perSec }),
    });
  return figures;
};
