import { addLambdas } from "../cluster/lambdas.ts";
import { memoryFor } from "../cluster/memory.ts";
import type { Figures } from "../cluster/outcome.ts";
import { type Simulate, virtualLambda } from "../cluster/simulated.ts";
import { describeLoad, describeMachine } from "../machine.ts";
import type { MixedLambda } from "../mixed/workload.ts";
import { realPython } from "../python.ts";
import type { Costs } from "../virtual/costs.ts";
import type { VirtualRun, VirtualRunOptions } from "../virtual/virtual-run.ts";
import { type BenchSite, makeSite } from "../worker.ts";
import { loadZygoteData, type ZygoteData } from "../zygotes/data.ts";
import { measureAlone } from "./alone.ts";
import { type ComparedFigure, compareFigures } from "./comparison.ts";
import { fitEfficiency, type Fitted } from "./fit.ts";
import { RealWorker, type RealRun } from "./real.ts";
import { contended, type TrialWorkload, workloadsFor } from "./workloads.ts";

/** What is played, to a real worker and in virtual time. */
export interface ValidateOptions {
  readonly seed: number;
  readonly slots: number;
  readonly sandboxMb: number;
  readonly cores: number;
  /** How long a call waits besides importing. */
  readonly runMs: number;
  readonly measureMs: number;
  readonly lambdas: readonly MixedLambda[];
  /** Keys of the worker's configuration besides. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Where packages are kept for the next run; default: nowhere. */
  readonly directory?: string | undefined;
  readonly simulate: Simulate;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

/** One workload, in reality and in virtual time. */
export interface ValidatedWorkload {
  readonly label: string;
  readonly real: Figures;
  readonly simulated: VirtualRun;
  readonly comparisons: readonly ComparedFigure[];
}

export interface ValidateResults {
  readonly machine: Readonly<Record<string, string | number>>;
  readonly options: Omit<ValidateOptions, "simulate" | "progress" | "lambdas" | "settings"> & {
    readonly lambdas: number;
  };
  readonly costs: Costs;
  /** How many times as long importing packages takes here as it was once measured to take. */
  readonly importRatio: number;
  /** The first is what the parameters were fitted on, and says nothing. */
  readonly workloads: readonly ValidatedWorkload[];
  readonly notes: readonly string[];
}

/** Plays workloads to a real worker, and the same in virtual time. */
class Validation {
  readonly #options: ValidateOptions;
  readonly #site: BenchSite;
  readonly #python: string;
  readonly #data: ZygoteData;
  readonly #names: readonly string[];

  constructor(options: ValidateOptions, site: BenchSite, python: string, data: ZygoteData) {
    this.#options = options;
    this.#site = site;
    this.#python = python;
    this.#data = data;
    this.#names = options.lambdas.map(({ name }) => name);
  }

  /** The parameters: first from calls one after the other, then from several at once. */
  async fit(workload: TrialWorkload): Promise<{ readonly fitted: Fitted; readonly real: Figures }> {
    const { progress, simulate } = this.#options;
    progress("fitting: one call at a time");
    const alone = await this.#alone();
    progress("fitting: several at once");
    const { figures: real } = await this.#real(workload, { import_cache: "off" });
    const perSecWith = async (efficiency: number): Promise<number> => {
      const costs = { ...alone.costs, efficiency };
      const [run] = await simulate([this.virtual(workload, { ...alone, costs }, "off")]);
      return (run as VirtualRun).perSec;
    };
    const efficiency = await fitEfficiency(real.perSec, perSecWith);
    return { fitted: { ...alone, costs: { ...alone.costs, efficiency } }, real };
  }

  async real(workload: TrialWorkload): Promise<Figures> {
    this.#options.progress(`${workload.label}: a real worker`);
    return (await this.#real(workload, {})).figures;
  }

  virtual(
    { calls, memoryShare, warmupMs, measureMs }: TrialWorkload,
    { costs, packages }: Fitted,
    zygotes: "off" | "auto",
  ): VirtualRunOptions {
    const { seed, cores, lambdas, runMs, slots, sandboxMb } = this.#options;
    return {
      seed,
      cores,
      costs,
      lambdas: lambdas.map((lambda) => virtualLambda(lambda, runMs)),
      packages,
      worker: { slots, sandboxMb, memoryMb: this.#memoryMb(memoryShare), zygotes },
      calls,
      warmupMs,
      measureMs,
    };
  }

  #alone(): Promise<Fitted> {
    const { runMs, sandboxMb, measureMs, settings = {} } = this.#options;
    const place = { site: this.#site, python: this.#python, names: this.#names };
    return measureAlone({ ...place, runMs, sandboxMb, measureMs, settings }, this.#data);
  }

  async #real(workload: TrialWorkload, settings: Readonly<Record<string, unknown>>): Promise<RealRun> {
    const { calls, warmupMs, measureMs, memoryShare } = workload;
    const { seed } = this.#options;
    await using worker = await this.#start(memoryShare, settings);
    return await worker.play({ calls, seed, names: this.#names, warmupMs, measureMs });
  }

  #start(memoryShare: number, settings: Readonly<Record<string, unknown>>): Promise<RealWorker> {
    const { slots, sandboxMb } = this.#options;
    return RealWorker.start({
      site: this.#site,
      python: this.#python,
      slots,
      sandboxMb,
      memoryMb: this.#memoryMb(memoryShare),
      settings: { ...this.#options.settings, ...settings },
    });
  }

  #memoryMb(share: number): number {
    return memoryFor(this.#names.length * share, this.#options).memoryMb;
  }
}

const addAll = async (site: BenchSite, python: string, options: ValidateOptions): Promise<void> => {
  const { lambdas, runMs, sandboxMb, progress } = options;
  const settings = { limits: { mem_mb: sandboxMb }, ...options.settings };
  progress(`installing the packages of ${lambdas.length} lambdas`);
  await addLambdas(site, lambdas, { python, runMs, settings, progress });
};

/**
 * Fits the simulator's parameters to one workload of a real worker, and compares the two on three others: throughput, share of cold calls, 99th
 * percentile of the time in the queue. Packages are installed first, from the index if they are not kept.
 */
export const runValidate = async (options: ValidateOptions): Promise<ValidateResults> => {
  const notes = describeLoad();
  const python = await realPython();
  const data = await loadZygoteData();
  await using site = await makeSite(options.directory);
  await addAll(site, python, options);
  const validation = new Validation(options, site, python, data);
  const first = contended(options);
  const { fitted, real } = await validation.fit(first);
  const workloads = workloadsFor(options);
  const reals = [real];
  for (const workload of workloads) reals.push(await validation.real(workload));
  options.progress("the same in virtual time");
  const simulated = await options.simulate([
    validation.virtual(first, fitted, "off"),
    ...workloads.map((workload) => validation.virtual(workload, fitted, "auto")),
  ]);
  const { seed, slots, sandboxMb, cores, runMs, measureMs, directory } = options;
  return {
    machine: describeMachine(python),
    options: { seed, slots, sandboxMb, cores, runMs, measureMs, directory, lambdas: options.lambdas.length },
    costs: fitted.costs,
    importRatio: fitted.importRatio,
    workloads: [first, ...workloads].map(({ label }, at) => {
      const [one, other] = [reals[at] as Figures, simulated[at] as VirtualRun];
      return { label, real: one, simulated: other, comparisons: compareFigures(one, other) };
    }),
    notes,
  };
};
