import { formatTrace } from "@ol/lambda";
import { expect, it } from "vitest";

import {
  type ComparedFigure,
  compareFigures,
  contended,
  type Costs,
  DEFAULT_COSTS,
  type Figures,
  fitCosts,
  fitEfficiency,
  generateMixed,
  loadImportLines,
  loadZygoteData,
  memoryFor,
  type PackageCosts,
  parseTracedCall,
  simulateWorkers,
  type TracedCall,
  type TrialWorkload,
  virtualLambda,
  type VirtualRunOptions,
  workloadsFor,
} from "../../src/index.ts";

const data = await loadZygoteData();
const SIZE = { slots: 4, sandboxMb: 256, measureMs: 20_000 };
/** So long that a burst is over before the next one comes: who runs late takes ever longer, and a small difference grows. */
const BURSTS_SIZE = { ...SIZE, measureMs: 60_000 };
const LAMBDAS = 24;
const RUN_MS = 20;
const mixed = generateMixed(data, await loadImportLines(), { seed: 1, lambdas: LAMBDAS, calls: 0, skew: 1 });

/** Nobody who fits knows these. */
const HIDDEN: Costs = {
  ...DEFAULT_COSTS,
  clientMs: 0.3,
  workerMs: 0.4,
  guestMs: 0.7,
  lateMs: 0.5,
  forkMs: 6,
  restockMs: 5,
  loadMs: 9,
  destroyMs: 7,
  efficiency: 0.7,
};
const HIDDEN_PACKAGES: PackageCosts = new Map(
  [...data.costs].map(([name, cost]) => [name, { ...cost, ms: cost.ms * 2 }]),
);

const BASE: Omit<VirtualRunOptions, "worker" | "calls"> = {
  seed: 1,
  cores: 2,
  costs: HIDDEN,
  lambdas: mixed.lambdas.map((lambda) => virtualLambda(lambda, RUN_MS)),
  packages: HIDDEN_PACKAGES,
  warmupMs: 0,
  measureMs: SIZE.measureMs,
};

/** As validate does it: one call at a time, for a worker with memory for two sandboxes. */
const traced = async (lambdas: VirtualRunOptions["lambdas"]) => {
  const calls: TracedCall[] = [];
  const run = await simulateWorkers({
    ...BASE,
    lambdas,
    calls: { kind: "closed", clients: 1, draw: { by: "turns", times: 1 } },
    worker: {
      slots: SIZE.slots,
      sandboxMb: SIZE.sandboxMb,
      memoryMb: 2 * SIZE.sandboxMb,
      zygotes: "off",
      pauseLingerMs: 0,
      trace: (record) => calls.push(parseTracedCall(formatTrace(record))),
    },
  });
  return { calls, run };
};

const runOf = (
  { calls, memoryShare, warmupMs, measureMs }: TrialWorkload,
  zygotes: "off" | "auto",
  costs: Costs,
  packages: PackageCosts,
): VirtualRunOptions => {
  const { memoryMb } = memoryFor(LAMBDAS * memoryShare, SIZE);
  const worker = { slots: SIZE.slots, sandboxMb: SIZE.sandboxMb, memoryMb, zygotes };
  return { ...BASE, costs, packages, worker, calls, warmupMs, measureMs };
};

const apartBy = (real: Figures, simulated: Figures): readonly ComparedFigure[] =>
  compareFigures(real, simulated).filter(({ difference }) => difference > 0.15);

it(
  "the parameters of a worker are found again from its trace, and predict what it does with other calls",
  { timeout: 180_000 },
  async () => {
    const { calls: cold, run } = await traced(BASE.lambdas);
    const hello = { ...virtualLambda({ name: "hello", pins: [], imports: [] }, 0) };
    const { calls: warm } = await traced([hello]);
    expect(run.coldShare).toBe(1);
    const fitted = fitCosts(
      {
        cold: cold.filter((call) => call.cold),
        warm: warm.filter((call) => !call.cold),
        waitMs: RUN_MS,
        clientMs: HIDDEN.clientMs,
        workerMs: HIDDEN.workerMs,
        // Half of a call was under way in the end.
        treeMs:
          (2 * run.cpuShare * SIZE.measureMs) / ((run.perSec * SIZE.measureMs) / 1_000 + 0.5) -
          HIDDEN.clientMs,
        heldMb: undefined,
      },
      data,
    );
    expect(fitted.importRatio).toBeCloseTo(2, 1);
    expect(fitted.costs.forkMs).toBeCloseTo(HIDDEN.forkMs, 0);
    expect(Math.abs(fitted.costs.loadMs - HIDDEN.loadMs)).toBeLessThan(2);
    expect(Math.abs(fitted.costs.destroyMs - HIDDEN.destroyMs)).toBeLessThan(2);
    // What is left over of some 300 ms.
    expect(Math.abs(fitted.costs.restockMs - HIDDEN.restockMs)).toBeLessThan(8);
    expect(fitted.costs.guestMs + fitted.costs.lateMs).toBeCloseTo(1.2, 1);

    const first = contended(SIZE);
    const { perSec } = await simulateWorkers(runOf(first, "off", HIDDEN, HIDDEN_PACKAGES));
    const efficiency = await fitEfficiency(perSec, async (guess) => {
      const costs = { ...fitted.costs, efficiency: guess };
      return (await simulateWorkers(runOf(first, "off", costs, fitted.packages))).perSec;
    });
    expect(Math.abs(efficiency - HIDDEN.efficiency)).toBeLessThan(0.1);

    const costs = { ...fitted.costs, efficiency };
    let blindApart = 0;
    const steady = workloadsFor(SIZE).filter(({ calls: { kind } }) => kind === "closed");
    const bursts = workloadsFor(BURSTS_SIZE).filter(({ calls: { kind } }) => kind === "open");
    for (const workload of [...steady, ...bursts]) {
      const real = await simulateWorkers(runOf(workload, "auto", HIDDEN, HIDDEN_PACKAGES));
      const simulated = await simulateWorkers(runOf(workload, "auto", costs, fitted.packages));
      const blind = await simulateWorkers(runOf(workload, "auto", DEFAULT_COSTS, data.costs));
      expect({ label: workload.label, apart: apartBy(real, simulated) }).toEqual({
        label: workload.label,
        apart: [],
      });
      blindApart += apartBy(real, blind).length;
    }
    // It is not so because nothing matters: without the fit it is wrong.
    expect(blindApart).toBeGreaterThanOrEqual(3);
  },
);
