import { availableParallelism } from "node:os";

import type { MixedLambda } from "../mixed/workload.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import { measureAlone } from "../validate/alone.ts";
import type { Fitted } from "../validate/fit.ts";
import { sweep } from "../virtual/sweep.ts";
import { realPython } from "../python.ts";
import type { Aim } from "../results.ts";
import { type BenchSite, makeSite } from "../worker.ts";
import { loadZygoteData, type ZygoteData } from "../zygotes/data.ts";
import { aimsOf } from "./aims.ts";
import { callClosed, callOpen, type CallTarget } from "./callers.ts";
import { type CallSource, drawnCalls, recordedCalls } from "./call-source.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { addLambdas } from "./lambdas.ts";
import { memoryFor, type WorkerMemory } from "./memory.ts";
import { countFailures, type Figures, figuresOf } from "./outcome.ts";
import type { CallRun, CallTimes } from "./players.ts";
import { type SimulatedFigures, simulatePolicies } from "./simulated.ts";
import type { RecordedCalls } from "./trace.ts";

/** One kind of workload. */
export interface Scenario {
  readonly label: string;
  /** The n-th lambda is called n^-skew as often as the first. */
  readonly skew: number;
  /** A worker has memory for so large a share of the lambdas. */
  readonly memoryShare: number;
}

/** What is measured, on which clusters. */
export interface ClusterRunOptions {
  readonly seeds: readonly number[];
  readonly policies: readonly string[];
  readonly workers: number;
  readonly slots: number;
  /** Clients for each slot of all workers, where all are to be busy. */
  readonly clientsPerSlot: number;
  /** How long each call takes besides importing. */
  readonly runMs: number;
  /** The limit of each sandbox, which is what memory is counted in. */
  readonly sandboxMb: number;
  readonly scenarios: readonly Scenario[];
  readonly warmupMs: number;
  readonly measureMs: number;
  /** The lambdas of a seed, the most popular first. Other seeds' have other names. */
  readonly lambdasOf: (seed: number) => readonly MixedLambda[];
  /** Calls that were recorded, instead of such as the scenarios draw. */
  readonly recorded?: RecordedCalls | undefined;
  /** Keys of the workers' configuration besides. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Where packages are kept for the next run; default: nowhere. */
  readonly directory?: string | undefined;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

/** How a policy did with the lambdas of one seed. */
export interface SeedFigures {
  /** With as many clients as keep all workers busy. */
  readonly saturated: Figures;
  /** With half as many calls as the best policy answers then, coming whenever they like. */
  readonly half: Figures;
  /** In virtual time; undefined for recorded calls, which the simulator does not know. */
  readonly simulated: SimulatedFigures | undefined;
}

export interface PolicyResult {
  readonly policy: string;
  /** In the order of the seeds. */
  readonly seeds: readonly SeedFigures[];
}

export interface ScenarioResult extends Scenario {
  readonly memoryMb: number;
  readonly rows: readonly PolicyResult[];
}

export interface ClusterResults {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly options: Pick<
    ClusterRunOptions,
    | "seeds"
    | "workers"
    | "slots"
    | "clientsPerSlot"
    | "runMs"
    | "sandboxMb"
    | "warmupMs"
    | "measureMs"
    | "policies"
  > & { readonly lambdas: number; readonly recordedCalls: number | undefined };
  readonly scenarios: readonly ScenarioResult[];
  /** Of the first scenario, by the seed for which it came out worst. */
  readonly aims: readonly Aim[];
  readonly notes: readonly string[];
}

/** One seed's lambdas with one scenario. */
class Trial {
  readonly #options: ClusterRunOptions;
  readonly #scenario: Scenario;
  readonly #seed: number;
  readonly #site: BenchSite;
  readonly #python: string;
  readonly #names: readonly string[];
  readonly memory: WorkerMemory;

  constructor(
    options: ClusterRunOptions,
    scenario: Scenario,
    seed: number,
    place: { readonly site: BenchSite; readonly python: string; readonly names: readonly string[] },
  ) {
    this.#options = options;
    this.#scenario = scenario;
    this.#seed = seed;
    this.#site = place.site;
    this.#python = place.python;
    this.#names = place.names;
    this.memory = memoryFor(this.#names.length * scenario.memoryShare, options);
  }

  /** Every policy begins with a cluster that knows nothing, and gets the same calls. */
  async run(): Promise<readonly Omit<SeedFigures, "simulated">[]> {
    const { policies } = this.#options;
    const saturated: Figures[] = [];
    for (const policy of policies) saturated.push(await this.#saturated(policy));
    const perSec = Math.max(...saturated.map((figures) => figures.perSec)) / 2;
    const all: Omit<SeedFigures, "simulated">[] = [];
    for (const [at, policy] of policies.entries())
      all.push({ saturated: saturated[at] as Figures, half: await this.#half(policy, perSec) });
    return all;
  }

  #saturated(policy: string): Promise<Figures> {
    const { workers, slots, clientsPerSlot } = this.#options;
    const clients = Math.ceil(workers * slots * clientsPerSlot);
    this.#tell(`${policy}, all workers busy`);
    return this.#measure(policy, "end", (target, times) => callClosed(target, clients, times));
  }

  #half(policy: string, perSec: number): Promise<Figures> {
    this.#tell(`${policy}, ${perSec.toFixed(0)} calls a second`);
    return this.#measure(policy, "due", (target, times) => callOpen(target, perSec, times));
  }

  async #measure(
    policy: string,
    by: "end" | "due",
    call: (target: CallTarget, times: CallTimes) => Promise<CallRun>,
  ): Promise<Figures> {
    const { warmupMs, measureMs } = this.#options;
    await using cluster = await this.#start(policy);
    let imports = 0;
    const { outcomes, window } = await call(
      { port: cluster.port, names: this.#names, source: this.#source() },
      {
        warmupMs,
        measureMs,
        began: async () => void (imports = await cluster.imports()),
        ended: async () => void (imports = (await cluster.imports()) - imports),
      },
    );
    return figuresOf(outcomes, window, by, imports);
  }

  #source(): CallSource {
    const { recorded } = this.#options;
    if (recorded !== undefined) return recordedCalls(recorded, this.#seed);
    return drawnCalls(this.#names.length, this.#scenario.skew, this.#seed);
  }

  #start(policy: string): Promise<Cluster> {
    const { workers, slots, sandboxMb, settings } = this.#options;
    return startCluster({
      site: this.#site,
      python: this.#python,
      workers,
      slots,
      memoryMb: this.memory.memoryMb,
      policy,
      settings: { limits: { mem_mb: sandboxMb }, ...settings },
    });
  }

  #tell(what: string): void {
    this.#options.progress(`${this.#scenario.label}, seed ${this.#seed}: ${what}`);
  }
}

const simulate = async (
  options: ClusterRunOptions,
  { skew }: Scenario,
  cluster: { readonly seed: number; readonly lambdas: readonly MixedLambda[]; readonly memoryMb: number },
  { costs, packages }: Fitted,
): Promise<readonly SimulatedFigures[] | undefined> => {
  const { policies, workers, slots, clientsPerSlot, runMs, sandboxMb, warmupMs, measureMs } = options;
  if (options.recorded !== undefined) return undefined;
  const cores = availableParallelism();
  const clients = Math.ceil(workers * slots * clientsPerSlot);
  const size = { workers, slots, sandboxMb, cores, clients, skew };
  const simulated = { ...cluster, ...size, costs, packages, runMs, warmupMs, measureMs };
  return simulatePolicies(policies, simulated, (runs) => sweep(runs, cores));
};

/** All scenarios with the lambdas of one seed: for each scenario, figures in the order of the policies. */
const runSeed = async (
  options: ClusterRunOptions,
  seed: number,
  place: { readonly site: BenchSite; readonly python: string },
  data: ZygoteData,
): Promise<readonly (readonly SeedFigures[])[]> => {
  const { runMs, sandboxMb, settings, progress } = options;
  const lambdas = options.lambdasOf(seed);
  progress(`seed ${seed}: installing the packages of ${lambdas.length} lambdas`);
  const { python } = place;
  const ofWorkers = { limits: { mem_mb: sandboxMb }, ...settings };
  await addLambdas(place.site, lambdas, { python, runMs, settings: ofWorkers, progress });
  const names = lambdas.map(({ name }) => name);
  progress(`seed ${seed}: measuring what starting each lambda costs`);
  const alone = {
    ...place,
    names,
    runMs,
    sandboxMb,
    measureMs: options.measureMs,
    settings: { ...settings },
  };
  const fitted = await measureAlone(alone, data);
  const figures: (readonly SeedFigures[])[] = [];
  for (const scenario of options.scenarios) {
    const trial = new Trial(options, scenario, seed, { ...place, names });
    const real = await trial.run();
    const { memoryMb } = trial.memory;
    progress(`${scenario.label}, seed ${seed}: the same in virtual time`);
    const simulated = await simulate(options, scenario, { seed, lambdas, memoryMb }, fitted);
    figures.push(real.map((run, at) => ({ ...run, simulated: simulated?.[at] })));
  }
  return figures;
};

/**
 * Plays the same calls to each policy: a real balancer in front of real workers, one policy after the other, each with a cluster that knows
 * nothing yet. First as many clients as keep all workers busy, then half as many calls as the best policy answered, coming whenever they
 * like. Packages are installed first, from the index if they are not kept.
 */
export const runCluster = async (options: ClusterRunOptions): Promise<ClusterResults> => {
  const { seeds, policies, scenarios, recorded, directory } = options;
  const notes = describeLoad();
  const python = await realPython();
  const data = await loadZygoteData();
  await using site = await makeSite(directory);
  const bySeed: (readonly (readonly SeedFigures[])[])[] = [];
  for (const seed of seeds) bySeed.push(await runSeed(options, seed, { site, python }, data));
  const lambdas = options.lambdasOf(seeds[0] as number).length;
  const results = scenarios.map((scenario, place) => ({
    ...scenario,
    memoryMb: memoryFor(lambdas * scenario.memoryShare, options).memoryMb,
    rows: policies.map((policy, at) => ({
      policy,
      seeds: bySeed.map((figures) => figures[place]?.[at] as SeedFigures),
    })),
  }));
  const { workers, slots, clientsPerSlot, runMs, sandboxMb, warmupMs, measureMs } = options;
  const shown = { seeds, policies, workers, slots, clientsPerSlot, runMs, sandboxMb, warmupMs, measureMs };
  return {
    machine: describeMachine(python),
    options: { ...shown, lambdas, recordedCalls: recorded?.calls.length },
    scenarios: results,
    aims: aimsOf(results[0]?.rows ?? []),
    notes: [...notes, ...notesOf(results)],
  };
};

const notesOf = (results: readonly ScenarioResult[]): string[] => {
  const failed = results.flatMap(({ label, rows }) =>
    rows.flatMap(({ policy, seeds }) => {
      const failures = countFailures(
        seeds.flatMap(({ saturated, half }) => [saturated.failures, half.failures]),
      );
      return Object.entries(failures).map(
        ([what, count]) => `${label}, ${policy}: ${count} x for which there was no reason: ${what}`,
      );
    }),
  );
  return [...failed, "the load generator and all processes of the cluster shared this machine's cores"];
};
